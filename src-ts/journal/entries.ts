/** The entries of a log as a folder has them. Read by hand: there is one for every token, and a start reads them all. */
import { z } from "zod";
import type { LogEntry } from "../engine/api.js";
import { count, isCount } from "./values.js";

const topLogprob = z.object({ token: z.string(), bytes: z.array(count), logprob: z.number() });
const logprobs = z.array(topLogprob.extend({ top: z.array(topLogprob) }));
const ending = z.union([
  z.object({ kind: z.enum(["stop", "length", "toolCalls", "cancelled", "expired"]) }),
  z.object({ kind: z.literal("failed"), code: z.string(), message: z.string() }),
]);
const usage = z.object({ promptTokens: count, cachedTokens: count, completionTokens: count });
const ended = z.object({ kind: z.literal("ended"), ending, usage, endedAt: z.number() });
const bareKinds: ReadonlySet<unknown> = new Set([
  "created",
  "queued",
  "inProgress",
  "itemAdded",
  "partAdded",
  "textDone",
  "partDone",
  "itemDone",
]);

function isEntry(value: unknown): value is LogEntry {
  if (typeof value !== "object" || value === null) return false;
  const entry = value as Record<string, unknown>;
  if (entry.kind === "textDelta") return isDelta(entry);
  return bareKinds.has(entry.kind) || ended.safeParse(entry).success;
}

function isDelta(entry: Record<string, unknown>): boolean {
  if (typeof entry.text !== "string") return false;
  if (!isCount(entry.tokens)) return false;
  return entry.logprobs === undefined || logprobs.safeParse(entry.logprobs).success;
}

/** Undefined where one of them is none, or one that this version doesn't know. */
export function entriesOf(value: unknown): LogEntry[] | undefined {
  return Array.isArray(value) && value.every(isEntry) ? value : undefined;
}
