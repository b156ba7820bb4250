/**
 * The entries of a log as a folder has them. Written before there were items, a log had one message with one
 * text part; what says no more goes without saying still, so that such a log is the same bytes as then.
 * Read by hand: there is one for every token, and a start reads them all.
 */
import { z } from "zod";
import type { Item, LogEntry } from "../engine/api.js";
import { count, isCount } from "./values.js";

type Delta = Extract<LogEntry, { kind: "delta" }>;
type Logprobs = NonNullable<Delta["logprobs"]>;

const topLogprob = z.object({ token: z.string(), bytes: z.array(count), logprob: z.number() });
const logprobs = z.array(topLogprob.extend({ top: z.array(topLogprob) }));
const ending = z.union([
  z.object({ kind: z.literal("stop"), sequence: z.string().exactOptional() }),
  z.object({ kind: z.enum(["length", "toolCalls", "cancelled", "expired"]) }),
  z.object({ kind: z.literal("failed"), code: z.string(), message: z.string() }),
]);
const usage = z.object({
  promptTokens: count,
  cachedTokens: count,
  completionTokens: count,
  reasoningTokens: count.default(0),
  forcedTokens: count.exactOptional(),
});
const ended = z.object({ kind: z.literal("ended"), ending, usage, endedAt: z.number() });
const call = { callId: z.string(), name: z.string() };
const item = z.discriminatedUnion("kind", [
  z.object({ kind: z.literal("message") }),
  z.object({ kind: z.literal("functionCall"), ...call }),
  z.object({ kind: z.literal("customToolCall"), ...call }),
  z.object({ kind: z.literal("reasoning") }),
]) satisfies z.ZodType<Item>;

/** The kind of a delta on disk. */
const deltaKind = "textDelta";

/** Whoever knows nothing of items would misread one of these. */
export function speaksOfItems(entry: LogEntry): boolean {
  if (!("index" in entry)) return false;
  if (entry.index > 0 || ("part" in entry && entry.part > 0)) return true;
  return entry.kind === "itemAdded" && entry.item.kind !== "message";
}

export function entryToDisk(entry: LogEntry): unknown {
  if (entry.kind === "ended") return shortEnd(entry);
  if (!("index" in entry)) return entry;
  const short = shortForm(entry);
  if (!speaksOfItems(entry)) return short;
  const { index, part, item } = { part: undefined, item: undefined, ...entry };
  return { ...short, index, part, item };
}

/** Who has not reasoned has no tokens of it. */
function shortEnd(entry: Extract<LogEntry, { kind: "ended" }>): object {
  const { reasoningTokens, ...usage } = entry.usage;
  return reasoningTokens > 0 ? entry : { ...entry, usage };
}

/** Every kind by its name: one that is new doesn't compile until it is said what of it is kept. */
function shortForm(entry: Extract<LogEntry, { index: number }>): object {
  const { kind } = entry;
  switch (kind) {
    case "delta":
      return shortDelta(entry);
    case "itemDone":
      return entry.incomplete ? { kind, incomplete: true } : { kind };
    case "itemAdded":
    case "partAdded":
    case "textDone":
    case "partDone":
      return { kind };
  }
}

function shortDelta({ text, tokens, logprobs }: Delta): object {
  if (logprobs === undefined) return { kind: deltaKind, text, tokens };
  return { kind: deltaKind, text, tokens, logprobs };
}

/** Or what one of them is that this version doesn't know. */
export function entriesOf(value: unknown): LogEntry[] | string {
  if (!Array.isArray(value)) return "entries that are no list";
  const entries: LogEntry[] = [];
  for (const stored of value) {
    const entry = entryOf(stored);
    if (entry === undefined) return unknownEntry(stored);
    entries.push(entry);
  }
  return entries;
}

const kindCharsMax = 40;

/** Of what another version wrote: kinds are names of its, and no content. */
function unknownEntry(stored: unknown): string {
  const { kind, item } = { kind: undefined, item: undefined, ...(stored as object | null) };
  const { kind: itemKind } = { kind: undefined, ...(item as object | null | undefined) };
  const names = [kind, itemKind].filter((name) => typeof name === "string");
  const shown = names.map((name) => String(name).slice(0, kindCharsMax)).join(" of kind ");
  return `an entry that this version doesn't know${shown && `: ${shown}`}`;
}

/** Whether each is about something that those before it have begun: what else is no log of ours. */
export function addUp(entries: readonly LogEntry[]): boolean {
  let items = 0;
  let parts = 0;
  for (const entry of entries) {
    if (!("index" in entry)) continue;
    if (entry.index !== (entry.kind === "itemAdded" ? items : items - 1)) return false;
    if (entry.kind === "itemAdded") {
      items++;
      parts = "callId" in entry.item ? 1 : 0;
    } else if (entry.kind === "partAdded") {
      if (entry.part !== parts++) return false;
    } else if (entry.kind !== "itemDone" && entry.part >= parts) return false;
  }
  return true;
}

function entryOf(value: unknown): LogEntry | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const stored = value as Record<string, unknown>;
  const { kind, index = 0, part = 0 } = stored;
  if (!isCount(index) || !isCount(part)) return undefined;
  switch (kind) {
    case deltaKind:
      return deltaOf(stored, index, part);
    case "created":
    case "queued":
    case "inProgress":
      return { kind };
    case "itemAdded":
      return itemAddedOf(stored, index);
    case "partAdded":
    case "textDone":
    case "partDone":
      return { kind, index, part };
    case "itemDone":
      return stored.incomplete === true ? { kind, index, incomplete: true } : { kind, index };
    case "ended":
      return ended.safeParse(stored).data;
    default:
      return undefined;
  }
}

function deltaOf(stored: Record<string, unknown>, index: number, part: number): Delta | undefined {
  const { text, tokens, logprobs: drawn } = stored;
  if (typeof text !== "string" || !isCount(tokens)) return undefined;
  if (drawn === undefined) return { kind: "delta", index, part, text, tokens };
  if (!logprobs.safeParse(drawn).success) return undefined;
  return { kind: "delta", index, part, text, tokens, logprobs: drawn as Logprobs };
}

function itemAddedOf(stored: Record<string, unknown>, index: number): LogEntry | undefined {
  if (stored.item === undefined) return { kind: "itemAdded", index, item: { kind: "message" } };
  const parsed = item.safeParse(stored.item);
  return parsed.success ? { kind: "itemAdded", index, item: parsed.data } : undefined;
}
