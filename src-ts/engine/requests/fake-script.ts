/**
 * What the fake engine says to whom. Owns which entries of its script have been used: one is chosen when a
 * request comes in, and stays with it, whatever becomes of the worker that plays it.
 */
import type { PrepareInput } from "../../worker/messages.js";
import type { FakeScriptEntry } from "../api.js";

export class FakeScript {
  private readonly used = new Set<FakeScriptEntry>();

  constructor(private readonly entries: readonly FakeScriptEntry[]) {}

  /** Undefined: nothing is written for it. */
  choose(input: PrepareInput): string | undefined {
    const single = this.entries.filter(({ repeat }) => !repeat);
    if (single.every((entry) => this.used.has(entry))) this.used.clear();
    const entry = this.entries.find((one) => !this.used.has(one) && isFor(one, input));
    if (entry !== undefined && !entry.repeat) this.used.add(entry);
    return entry?.say;
  }
}

function isFor({ when, tools }: FakeScriptEntry, input: PrepareInput): boolean {
  if (tools !== undefined && tools !== offersTools(input)) return false;
  return lastText(input).includes(when);
}

function offersTools(input: PrepareInput): boolean {
  return input.kind === "chat" && (input.tools?.tools.length ?? 0) > 0;
}

const isFromSystem = ({ role }: Record<string, unknown>): boolean =>
  role === "system" || role === "developer";

function textOf({ content }: Record<string, unknown>): string {
  return typeof content === "string" ? content : "";
}

/** What was said last, by whomever. Token ids have no text here. */
function lastText(input: PrepareInput): string {
  switch (input.kind) {
    case "chat": {
      // What the system says behind a turn is the end of that turn, as in a prompt.
      const turn = input.messages.findLastIndex((message) => !isFromSystem(message));
      return input.messages.slice(Math.max(turn, 0)).map(textOf).join("\n\n");
    }
    case "text":
      return input.text;
    case "tokens":
    case "texts":
      return "";
  }
}
