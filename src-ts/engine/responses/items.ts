/**
 * Which item of a log is open, and the entries that open and close one. One is open at a time: a model says
 * one thing after another. Knows no text.
 */
import type { Item, LogEntry } from "../api.js";
import type { Text } from "./utterances.js";

const message: Item = { kind: "message" };

const reasoning: Item = { kind: "reasoning" };

export const isCall = (item: Item): item is Extract<Item, { callId: string }> => "callId" in item;

/** The item that this kind of text belongs to; of arguments it is the call that is open, if one is. */
export function itemOf(kind: Text["kind"], open: Item | undefined): Item | undefined {
  switch (kind) {
    case "content":
      return message;
    case "reasoning":
      return reasoning;
    case "arguments":
      return open !== undefined && isCall(open) ? open : undefined;
  }
}

/** Where text stands in the output. */
export interface Place {
  index: number;
  part: number;
}

/** A call's text is all that there is of it, and stands in part 0; the others add their parts one by one. */
function hasParts({ kind }: Item): boolean {
  switch (kind) {
    case "message":
    case "reasoning":
      return true;
    case "functionCall":
    case "customToolCall":
      return false;
  }
}

/** The same one goes on; two calls are two. */
function isSame(one: Item, other: Item): boolean {
  if (one.kind !== other.kind) return false;
  return !("callId" in one) || !("callId" in other) || one.callId === other.callId;
}

const none: readonly LogEntry[] = [];

interface Open {
  item: Item;
  index: number;
  /** Undefined: none is open, or it has none. */
  part: number | undefined;
  partsBefore: number;
}

export class OpenItem {
  private open: Open | undefined;
  /** Items so far, open or done. */
  count = 0;
  /** Of them, calls. */
  calls = 0;
  /** Of these, done and not broken off. */
  completeCalls = 0;

  get item(): Item | undefined {
    return this.open?.item;
  }

  /** Every entry of the log, in order. */
  note(entry: LogEntry): void {
    switch (entry.kind) {
      case "itemAdded": {
        const { item, index } = entry;
        this.open = { item, index, part: undefined, partsBefore: 0 };
        this.count = index + 1;
        if (isCall(item)) this.calls++;
        return;
      }
      case "partAdded":
        this.open!.part = entry.part;
        this.open!.partsBefore = entry.part + 1;
        return;
      case "partDone":
        this.open!.part = undefined;
        return;
      case "itemDone":
        if (isCall(this.open!.item) && !entry.incomplete) this.completeCalls++;
        this.open = undefined;
        return;
    }
  }

  /** What has to be in the log before text of this item: nothing where it is open. */
  opening(item: Item): readonly LogEntry[] {
    const { open } = this;
    if (open === undefined || !isSame(open.item, item)) {
      const index = this.count;
      const added: LogEntry = { kind: "itemAdded", index, item };
      const first: LogEntry[] = hasParts(item) ? [{ kind: "partAdded", index, part: 0 }] : [];
      return [...this.closing(), added, ...first];
    }
    if (!hasParts(item) || open.part !== undefined) return none;
    return [{ kind: "partAdded", index: open.index, part: open.partsBefore }];
  }

  /** Of the open item. */
  get place(): Place {
    const { index, part = 0 } = this.open!;
    return { index, part };
  }

  /** A call is broken off, unless it is `complete`. */
  closing(complete = false): LogEntry[] {
    const { open } = this;
    if (open === undefined) return [];
    const { index, part } = open;
    const incomplete = isCall(open.item) && !complete;
    const done: LogEntry = { kind: "itemDone", index, ...(incomplete && { incomplete }) };
    if (!hasParts(open.item)) return [{ kind: "textDone", index, part: 0 }, done];
    if (part === undefined) return [done];
    return [{ kind: "textDone", index, part }, { kind: "partDone", index, part }, done];
  }
}
