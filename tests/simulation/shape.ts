/**
 * The form that the entries of a log have, whatever they say: items one after another, each begun once, done
 * once, and with nothing between but what is its own. Ids of calls follow from the response's.
 */
import type { LogEntry } from "../../src-ts/engine/api.js";

export class LogShape {
  private count = 0;
  private calls = 0;
  private open: { isCall: boolean; part: number | undefined; parts: number } | undefined;
  private textIsDone = false;

  constructor(private readonly responseId: string) {}

  /** Throws what is wrong with an entry after those before it. */
  take(entry: LogEntry): void {
    switch (entry.kind) {
      case "itemAdded":
        return this.added(entry);
      case "partAdded":
        return this.partAdded(entry);
      case "delta":
      case "textDone":
      case "partDone":
        return this.inPart(entry);
      case "itemDone":
        return this.done(entry);
      case "ended":
        if (this.open !== undefined) throw this.wrong(entry, "an item is open");
        return;
    }
  }

  private added(entry: Extract<LogEntry, { kind: "itemAdded" }>): void {
    const { item, index } = entry;
    if (this.open !== undefined || index !== this.count) throw this.wrong(entry, "out of order");
    this.count++;
    const isCall = "callId" in item;
    this.open = { isCall, part: isCall ? 0 : undefined, parts: 0 };
    this.textIsDone = false;
    if (!isCall) return;
    const own = this.responseId.slice(this.responseId.indexOf("_") + 1);
    if (item.callId !== `call_${own}_${this.calls++}`) throw this.wrong(entry, "another id");
  }

  private partAdded(entry: Extract<LogEntry, { kind: "partAdded" }>): void {
    const open = this.openAt(entry);
    if (open.isCall || open.part !== undefined || entry.part !== open.parts)
      throw this.wrong(entry, "out of order");
    open.part = entry.part;
    open.parts++;
    this.textIsDone = false;
  }

  private inPart(entry: Extract<LogEntry, { kind: "delta" | "textDone" | "partDone" }>): void {
    const open = this.openAt(entry);
    if (entry.part !== open.part) throw this.wrong(entry, "in no open part");
    if (this.textIsDone !== (entry.kind === "partDone")) throw this.wrong(entry, "out of order");
    if (entry.kind === "textDone") this.textIsDone = true;
    if (entry.kind === "partDone") open.part = undefined;
  }

  private done(entry: Extract<LogEntry, { kind: "itemDone" }>): void {
    const open = this.openAt(entry);
    if (open.isCall ? !this.textIsDone : open.part !== undefined || entry.incomplete === true)
      throw this.wrong(entry, "out of order");
    this.open = undefined;
  }

  private openAt(entry: Extract<LogEntry, { index: number }>): NonNullable<LogShape["open"]> {
    if (this.open === undefined || entry.index !== this.count - 1)
      throw this.wrong(entry, "of no open item");
    return this.open;
  }

  private wrong(entry: LogEntry, why: string): Error {
    return new Error(`${this.responseId}: ${JSON.stringify(entry)}: ${why}`);
  }
}
