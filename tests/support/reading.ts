/** Reads streams to their end, and compares them event by event with the server's own log. */
import { expect } from "vitest";
import type { ResponseStream } from "../../src-ts/client/index.js";
import { ask, dataOf, wholeEvents } from "./raw-responses.js";

/** Number, type and text of an event. */
export type Seen = [number: number, type: string, delta: string];

export interface Outcome {
  text: string;
  usage: unknown;
}

export function seen(event: { sequence_number: number; [field: string]: unknown }): Seen {
  return [event.sequence_number, String(event.type), String(event.delta ?? "")];
}

/** All of a stream: every event of the log of the server at `url` once, in order, adding up to the text. */
export async function read(stream: ResponseStream, url: string): Promise<Outcome> {
  const events: Seen[] = [];
  for await (const event of stream) events.push(seen({ ...event }));
  const { text, usage } = await stream.final();
  expect(events).toEqual(await logOf(stream.responseId!, url));
  expect(events.map(([number]) => number)).toEqual(range(0, events.length));
  expect(events.map(([, , delta]) => delta).join("")).toBe(text);
  return { text, usage };
}

export async function logOf(id: string, url: string): Promise<Seen[]> {
  const path = `/v1/responses/${id}?stream=true&starting_after=-1`;
  const { body } = await ask({ url, path });
  return wholeEvents(body).map((event) => seen(dataOf(event)));
}

export function range(from: number, to: number, step = 1): number[] {
  const length = Math.max(0, Math.ceil((to - from) / step));
  return Array.from({ length }, (_, i) => from + i * step);
}
