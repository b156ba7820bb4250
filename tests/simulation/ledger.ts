/**
 * Everything that anybody has seen of a response, by its number. What was seen once is seen the same
 * ever after, whoever looks, on whatever server: nothing is retracted, renumbered or doubled.
 */
import type { Response } from "../../src-ts/engine/api.js";
import type { ResponseStreamEvent } from "../../src-ts/protocol/events.js";
import { LogShape } from "./shape.js";

export class Ledger {
  private readonly entries = new Map<string, string[]>();
  private readonly events = new Map<string, string[]>();
  private readonly shapes = new Map<string, LogShape>();

  constructor(
    private readonly violated: (what: string) => never,
    /** Deleted, or its server has ended: nobody can find it any more, but who reads it gets its end. */
    private readonly isGone: (id: string) => boolean,
  ) {}

  /** What the engine shows of it now. */
  sawEntries(response: Response, isNewServer: boolean): void {
    const known = listOf(this.entries, response.id);
    const { entries } = response;
    const shape = this.shapes.get(response.id) ?? new LogShape(response.id);
    this.shapes.set(response.id, shape);
    if (entries.length < known.length)
      this.violated(`${response.id}: entry ${known.length - 1} was seen and is gone`);
    if (!isNewServer && entries.length === known.length) return;
    for (let number = isNewServer ? 0 : known.length; number < entries.length; number++) {
      if (number === known.length) shape.take(entries[number]!);
      this.agree("entry", response.id, known, number, JSON.stringify(entries[number]));
    }
    const ends = entries.filter(({ kind }) => kind === "ended").length;
    if (ends > 1 || (ends === 1 && entries.at(-1)?.kind !== "ended"))
      this.violated(`${response.id}: ${ends} ends`);
  }

  /** What a client got. */
  sawEvent(id: string, event: ResponseStreamEvent): void {
    const { stream_id: _lane, ...rest } = event as ResponseStreamEvent & { stream_id?: string };
    const known = listOf(this.events, id);
    this.agree("event", id, known, event.sequence_number, JSON.stringify(rest));
    const shown = this.entries.get(id)?.length ?? 0;
    if (event.sequence_number >= shown && !this.isGone(id))
      this.violated(`${id}: event ${event.sequence_number} was sent before it could be seen`);
  }

  private agree(what: string, id: string, known: string[], number: number, text: string): void {
    const before = known[number];
    if (before === undefined) known[number] = text;
    else if (before !== text)
      this.violated(`${id}: ${what} ${number} was ${before} and is ${text}`);
  }
}

function listOf(map: Map<string, string[]>, id: string): string[] {
  const known = map.get(id);
  if (known !== undefined) return known;
  const list: string[] = [];
  map.set(id, list);
  return list;
}
