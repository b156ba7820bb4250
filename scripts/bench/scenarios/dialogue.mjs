/** A conversation with a server: each turn repeats all before it, with the answers that this server gave. */
import { ttftOf } from "./common.mjs";

export class Dialogue {
  #messages;
  /** Of all turns so far. */
  records = [];
  /** Of each turn: how long its prompt was, and what of it repeats the turn before and its answer. */
  turns = [];

  /** @param {readonly { role: string, content: string }[]} [messages] What stands before the first turn. */
  constructor(messages = []) {
    this.#messages = [...messages];
  }

  /** Resolves with the turn's record. */
  async say(target, content, maxTokens) {
    this.#messages.push({ role: "user", content });
    const record = await target.run({ prompt: [...this.#messages], maxTokens });
    this.#messages.push({ role: "assistant", content: record.texts?.join("") ?? "" });
    const last = this.turns.at(-1);
    const { promptTokens, cachedTokens, completionTokens } = record.usage ?? {};
    this.records.push(record);
    this.turns.push({
      ttftMs: ttftOf(record),
      promptTokens,
      cachedTokens,
      known: last?.promptTokens === undefined ? undefined : last.promptTokens + last.answerTokens,
      answerTokens: completionTokens,
    });
    return record;
  }
}
