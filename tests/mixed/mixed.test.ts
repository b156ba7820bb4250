/**
 * `npm run mixed`: so many requests of all kinds at a time through the embedded model, whose worker is killed again
 * and again. What is kept to a schema is valid, what is free and greedy or has a seed says what it said in quiet.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, it, vi } from "vitest";
import { isIdle, type ServerProcess, startServer } from "../e2e/support/server.js";
import { Random } from "../simulation/random.js";
import { kinds, type Message, type Mixed, mixedRequests } from "./requests.js";

const numberOf = (name: string, otherwise: number) => Number(process.env[name] ?? otherwise);
const count = numberOf("MIXED_REQUESTS", 1_000);
const atOnce = numberOf("MIXED_AT_ONCE", 64);
const killEveryMs = numberOf("MIXED_KILL_EVERY_S", 5) * 1_000;
const random = new Random(numberOf("MIXED_SEED", 1));

vi.setConfig({ testTimeout: 3_600_000, hookTimeout: 600_000 });

const cancelAfterMs = { min: 20, max: 3_000 };

interface Choice {
  message: Message;
  finish_reason: string;
}

let server: ServerProcess;
const seen = {
  kills: 0,
  failures: [] as string[],
  ...Object.fromEntries(kinds.map((kind) => [kind, { right: 0, cut: 0 }])),
} as { kills: number; failures: string[] } & Record<string, { right: number; cut: number }>;

beforeAll(async () => {
  const flags = ["--max-batch", String(atOnce), "--max-queue", String(2 * atOnce)];
  server = await startServer({ flags: [...flags, "--log-level", "error"] });
});
afterAll(async () => {
  await server?.[Symbol.asyncDispose]();
  process.stdout.write(`mixed: ${JSON.stringify(seen)}\n`);
});

async function ask(body: object, signal: AbortSignal | null = null): Promise<Choice> {
  const answer = await fetch(`${server.url}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
    signal,
  });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${answer.status}: ${text}`);
  return (JSON.parse(text) as { choices: [Choice] }).choices[0];
}

/** Each says what it is to say with nobody beside it. */
async function inQuiet(bodies: readonly { body: object }[]): Promise<string[]> {
  const texts: string[] = [];
  for (const { body } of bodies) texts.push((await ask(body)).message.content ?? "");
  return texts;
}

async function play(request: Mixed, quiet: readonly string[]): Promise<void> {
  const { kind, body, reference, complaint } = request;
  const figures = seen[kind]!;
  if (kind === "cancelled") {
    const { min, max } = cancelAfterMs;
    const late = AbortSignal.timeout(random.int(min, max));
    await ask(body, late).catch((error: unknown) => {
      if (!late.aborted) throw error;
    });
    figures.right++;
    return;
  }
  const { message, finish_reason } = await ask(body);
  const { content } = message;
  if (reference !== undefined && content !== quiet[reference])
    throw new Error(
      `says ${JSON.stringify(content)}, in quiet ${JSON.stringify(quiet[reference])}`,
    );
  // One that is cut short is no whole document.
  const isCut = finish_reason === "length" && kind === "constrained";
  const wrong = isCut ? undefined : complaint(message);
  if (wrong !== undefined) throw new Error(`${wrong}: ${JSON.stringify(message)}`);
  figures[isCut ? "cut" : "right"]++;
}

/** While there is work, and the worker does some: one that only loads has nothing to lose. */
async function killNowAndThen(isOver: () => boolean): Promise<void> {
  while (!isOver()) {
    await sleep(killEveryMs);
    if (isOver()) return;
    const { pid, decoding } = await server.worker();
    if (pid === undefined || decoding === 0) continue;
    process.kill(pid, "SIGKILL");
    seen.kills++;
  }
}

it(`${count} requests, ${atOnce} at a time`, async () => {
  const { requests, references } = mixedRequests(count, random);
  const quiet = await inQuiet(references);
  const left = requests.values();
  let done = 0;
  const work = async () => {
    for (const request of left) {
      await play(request, quiet).catch((error: Error) => {
        seen.failures.push(`${request.kind}: ${error.message} (${JSON.stringify(request.body)})`);
      });
      if (++done % 100 === 0) process.stdout.write(`${done} of ${count}, ${seen.kills} kills\n`);
    }
  };
  const working = Promise.all(Array.from({ length: atOnce }, work));
  await Promise.all([working, killNowAndThen(() => done === count)]);
  expect(seen.failures).toEqual([]);
  expect(seen.kills).toBeGreaterThan(0);
  await server.until(isIdle);
  expect((await server.worker()).restarts).toBe(seen.kills);
});
