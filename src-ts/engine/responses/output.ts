/** What the entries of a log add up to: its items, and the text of their parts. Knows no number and no reader. */
import type { TokenLogprob } from "../../worker/messages.js";
import type { Item, LogEntry, OutputItem, OutputPart } from "../api.js";

interface GrowingPart extends OutputPart {
  text: string;
  logprobs: TokenLogprob[];
}

interface GrowingItem extends OutputItem {
  item: Item;
  parts: GrowingPart[];
  isDone: boolean;
  isIncomplete: boolean;
}

export class Output {
  readonly items: GrowingItem[] = [];
  /** UTF-16 code units of all text. */
  textChars = 0;
  logprobCount = 0;

  /** Every entry, in order. */
  take(entry: LogEntry): void {
    switch (entry.kind) {
      case "itemAdded":
        this.items[entry.index] = {
          item: entry.item,
          parts: [],
          isDone: false,
          isIncomplete: false,
        };
        return;
      case "partAdded":
        this.part(entry.index, entry.part);
        return;
      case "delta":
        return this.grow(this.part(entry.index, entry.part), entry);
      case "itemDone":
        this.items[entry.index]!.isDone = true;
        this.items[entry.index]!.isIncomplete = entry.incomplete ?? false;
        return;
    }
  }

  /** Of its messages: what is said to whoever asked. */
  get text(): string {
    return this.messageParts()
      .map(({ text }) => text)
      .join("");
  }

  get logprobs(): readonly TokenLogprob[] {
    const [first, ...more] = this.messageParts();
    if (more.length === 0) return first?.logprobs ?? [];
    return [first!, ...more].flatMap(({ logprobs }) => logprobs);
  }

  private messageParts(): GrowingPart[] {
    return this.items.flatMap(({ item, parts }) => (item.kind === "message" ? parts : []));
  }

  private part(index: number, part: number): GrowingPart {
    const { parts } = this.items[index]!;
    parts[part] ??= { text: "", logprobs: [] };
    return parts[part];
  }

  private grow(part: GrowingPart, { text, logprobs }: Extract<LogEntry, { kind: "delta" }>): void {
    part.text += text;
    this.textChars += text.length;
    if (logprobs === undefined) return;
    for (const logprob of logprobs) part.logprobs.push(logprob);
    this.logprobCount += logprobs.length;
  }
}
