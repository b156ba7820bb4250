/** All that a turn of items and calls says, for a death to change nothing of it. */
import { expect } from "vitest";
import type { LogEntry, Response } from "../../../src-ts/engine/api.js";

export interface Played {
  items: unknown[];
  end: unknown;
  tokens: readonly number[];
}

/** Neighbouring deltas as one: how many come together is nobody's promise. */
export async function played(response: Response): Promise<Played> {
  const seen: LogEntry[] = [];
  for await (const entry of response.read(-1)) seen.push(entry);
  expect(seen).toEqual(response.entries);
  const own = response.id.slice(response.id.indexOf("_") + 1);
  const kinds = seen.map(({ kind }) => kind).filter((kind, i, all) => kind !== all[i - 1]);
  const items = response.output.map(({ item, parts, isDone, isIncomplete }) => ({
    ...item,
    ...("callId" in item && { callId: item.callId.replace(own, "own") }),
    texts: parts.map(({ text }) => text),
    isDone,
    isIncomplete,
  }));
  const last = seen.at(-1);
  if (last?.kind !== "ended") throw new Error("the last entry is not the end");
  const end = { ending: last.ending, usage: last.usage, kinds };
  return { items, end, tokens: [...response.tokens] };
}
