/** Stored responses seen from outside: over HTTP, in the data folder, and what each has to be. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "vitest";
import type { ResponseObject, ResponseStreamEvent } from "../../../src-ts/client/index.js";

export interface DataFolder extends Disposable {
  readonly path: string;
  /** Full names of its files. */
  files(): string[];
  /** Full names of its segments, from the oldest on. */
  segments(): string[];
  /** What the whole folder holds. */
  bytes(): Buffer;
}

export function dataFolder(): DataFolder {
  const path = mkdtempSync(join(tmpdir(), "mlx-serving-data-"));
  const files = () =>
    readdirSync(path)
      .toSorted()
      .map((name) => join(path, name));
  return {
    path,
    files,
    segments: () => files().filter((name) => name.endsWith(".log")),
    bytes: () => Buffer.concat(files().map((name) => readFileSync(name))),
    [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }),
  };
}

/** Permission bits of a file. */
export const modeOf = (file: string) => statSync(file).mode & 0o777;

/** Below the ports that systems give to outgoing connections: nobody takes it between two starts. */
const portMin = 20_000;
const portCount = 10_000;
const triesMax = 50;

export async function steadyPort(): Promise<string> {
  for (let tries = 0; tries < triesMax; tries++) {
    const port = portMin + Math.floor(Math.random() * portCount);
    if (await isFree(port)) return String(port);
  }
  throw new Error(`None of ${triesMax} ports was free.`);
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.on("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}

/** POST with a JSON body. */
export function post(url: string, body: object, headers: Record<string, string> = {}) {
  return fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: JSON.stringify(body),
  });
}

export async function getResponse(url: string, id: string): Promise<ResponseObject> {
  const answer = await fetch(`${url}/v1/responses/${id}`);
  if (!answer.ok) throw new Error(`${id}: ${answer.status} ${await answer.text()}`);
  return (await answer.json()) as ResponseObject;
}

/** The events after `startingAfter`, up to the end, as the text that came. */
export async function replay(url: string, id: string, startingAfter = -1): Promise<string[]> {
  const query = `stream=true&starting_after=${startingAfter}`;
  const answer = await fetch(`${url}/v1/responses/${id}?${query}`);
  if (!answer.ok) throw new Error(`${id}: ${answer.status} ${await answer.text()}`);
  const events = (await answer.text()).split("\n\n").filter((text) => text.startsWith("event:"));
  return events.map((text) => text.slice(text.indexOf("data: ") + "data: ".length));
}

export const parsed = (events: readonly string[]) =>
  events.map((text) => JSON.parse(text) as ResponseStreamEvent);

const terminal = /^response\.(completed|incomplete|failed)$/;

/** Numbers from 0 without a gap or a double, and one terminal event, the last. */
export function expectWhole(events: readonly ResponseStreamEvent[], what: string): void {
  const numbers = events.map(({ sequence_number }) => sequence_number);
  expect(numbers, what).toEqual(events.map((_, i) => i));
  const ends = events.flatMap(({ type }, i) => (terminal.test(type) ? [i] : []));
  expect(ends, what).toEqual([events.length - 1]);
}

/** A generator with a known sequence (mulberry32): 0 ≤ x < 1. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
