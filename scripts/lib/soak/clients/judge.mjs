/** Whether a response that has ended is what was promised. Says what it counts as, or what is wrong. */
import { isSame, outputOf } from "../texts.mjs";

const terminal = /^response\.(completed|incomplete|failed)$/;

export const isTerminal = (event) => event !== undefined && terminal.test(event.type);

/**
 * @typedef {{
 *   kind: string, task: import("../texts.mjs").Task, expected: import("../texts.mjs").Answer,
 *   store: boolean, since: number, mayCancel?: boolean, mayExpire?: boolean, context: () => object,
 * }} Case
 */

/** Undefined, or how a response's events break the promise: numbers, its one end, its text. */
export function flawOf(events) {
  const wrong = events.findIndex(({ sequence_number }, i) => sequence_number !== i);
  if (wrong !== -1) return `event ${wrong} has number ${events[wrong].sequence_number}`;
  const ends = events.filter(isTerminal).length;
  if (ends !== 1) return `${ends} terminal events`;
  if (!isTerminal(events.at(-1))) return `${events.at(-1).type} after the terminal event`;
  const text = events
    .filter(({ type }) => type === "response.output_text.delta")
    .map(({ delta }) => delta)
    .join("");
  if (text !== outputOf(events.at(-1).response)) return "the deltas are not the text";
  return undefined;
}

/** @param {import("../ledger.mjs").Ledger} ledger @param {Case} about */
export function judgeResponse(ledger, about, response) {
  const { kind, expected, mayCancel, mayExpire, since } = about;
  const detail = () => ({
    since,
    context: { id: response.id, task: about.task.index, store: about.store, ...about.context() },
  });
  const breach = (what) => ledger.breach(kind, what, detail());
  const { status, usage } = response;
  const text = outputOf(response);
  if (!expected.text.startsWith(text)) return breach(differenceOf(expected.text, text));
  if (status === "cancelled")
    return mayCancel ? ledger.outcome(kind, "cancelled") : breach("cancelled by nobody");
  if (status === "failed") return judgeFailure(ledger, about, { response, breach, detail });
  const got = { text, input: usage.input_tokens, output: usage.output_tokens };
  if (!isSame(expected, got))
    return breach(`${status} with ${got.output} of ${expected.output} tokens, input ${got.input}`);
  ledger.outcome(kind, mayCancel || mayExpire ? "completed before its end was due" : "completed");
}

function judgeFailure(ledger, { kind, store, mayExpire }, { response, breach, detail }) {
  const { code } = response.error;
  if (code === "deadline_exceeded" && mayExpire) return ledger.outcome(kind, "deadline exceeded");
  if (code !== "server_shutdown" || store) return breach(`failed with ${code}`);
  ledger.excusable(kind, "failed by a drain", { excuse: "drain", ...detail() });
}

export function differenceOf(expected, got) {
  let at = 0;
  while (expected[at] === got[at] && at < expected.length) at += 1;
  const cut = (text) => JSON.stringify(text.slice(Math.max(0, at - 10), at + 20));
  return `another text from character ${at} on: ${cut(got)} instead of ${cut(expected)}`;
}
