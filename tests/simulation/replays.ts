/** Who reads later, from wherever, reads what was read when it was made; and what is kept is what was told. */
import type { LogEntry, Response } from "../../src-ts/engine/api.js";
import type { OutputItem } from "../../src-ts/protocol/index.js";
import { outputItems } from "../../src-ts/server/render/output-items.js";
import type { Random } from "./random.js";

/** From the start, and from anywhere. Throws where it is not so, as all of these. */
export function checkReplay(response: Response, random: Random): void {
  for (const after of [-1, random.int(-1, response.entries.length - 1)]) {
    const cursor = response.read(after);
    const seen: LogEntry[] = [];
    for (let next = cursor.next(); next !== undefined; next = cursor.next()) seen.push(next);
    cursor.close();
    checkSame(response, seen, after + 1);
  }
}

/** The entries from this number on were read so. */
export function checkSame(
  { id, entries }: Response,
  seen: readonly LogEntry[],
  from: number,
): void {
  const shown = entries.slice(from);
  if (seen.length !== shown.length || seen.some((entry, i) => entry !== shown[i]))
    throw new Error(`${id}: read ${JSON.stringify(seen)}, and it is ${JSON.stringify(shown)}`);
}

/** What is kept of a response is what its reader was told. */
export function checkStored(response: Response | undefined, told: readonly OutputItem[]): void {
  if (response === undefined) return;
  const kept = JSON.stringify(outputItems(response));
  if (kept !== JSON.stringify(told))
    throw new Error(`${response.id} is ${kept}, and what was told is ${JSON.stringify(told)}`);
}

export const promptOf = ({ promptTokens }: Response): string =>
  String.fromCodePoint(...promptTokens.subarray(1));
