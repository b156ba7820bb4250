/** So many requests at a time, the kills beside them, what came of each, and whether the counts add up. */
import { setTimeout as delay } from "node:timers/promises";
import { authorization, isIdle, type ServerProcess } from "../e2e/support/server.js";
import type { Random } from "../simulation/random.js";
import { ask, askAsResponse, type Choice, Refusal } from "./ask.js";
import { Killer } from "./killer.js";
import { type Departure, type Kind, kinds, type Mixed } from "./requests.js";

export interface Load {
  atOnce: number;
  killEveryMs: number;
  /** One of the server's keys, for what is no request. */
  apiKey?: string | undefined;
  /** No kill before one more request has ended. */
  killsAfterEnds?: boolean;
}

/**
 * `right`: it ended, and is what it must be. `cut`: by its token limit before its document or call was whole.
 * `gone`: its reader left before its end. `refused`: its schema can't be enforced, and the answer names it. `same`,
 * `other`: of those that were asked in quiet too.
 */
export type Outcome = "right" | "cut" | "gone" | "refused" | "same" | "other";
export type Counts = Record<Kind, Record<Outcome, number>>;

const schemaKinds: readonly Kind[] = ["constrained", "tools"];
const requestsBetweenReports = 100;

/** `quiet`: what the references said. Resolves when the worker is idle. */
export async function playAll(
  server: ServerProcess,
  requests: readonly Mixed[],
  quiet: readonly Choice[],
  { atOnce, killEveryMs, apiKey, killsAfterEnds = false }: Load,
  chance: Random,
) {
  const startedAt = performance.now();
  const seconds = () => Math.round((performance.now() - startedAt) / 1_000);
  let heard = 0;
  const killer = new Killer(server, killEveryMs, chance, killsAfterEnds ? () => heard : undefined);
  const counts = Object.fromEntries(
    kinds.map((kind) => [kind, { right: 0, cut: 0, gone: 0, refused: 0, same: 0, other: 0 }]),
  ) as Counts;
  const failures: string[] = [];
  const ended: Record<string, number> = {};
  const cancelledIn: Record<string, number> = {};
  const left = requests.values();
  let done = 0;
  const work = async () => {
    for (const request of left) {
      const { kind, body } = request;
      try {
        const choice = await play(server.url, request, (phase) => tally(cancelledIn, phase));
        if (choice !== undefined) {
          heard++;
          tally(ended, choice.finish_reason);
        }
        for (const outcome of outcomes(request, choice, quiet)) counts[kind][outcome]++;
      } catch (error) {
        if (isRefusalOfSchema(request, error)) {
          counts[kind].refused++;
          continue;
        }
        const asked = JSON.stringify(body).slice(0, askedShownMax);
        const failure = `${kind}: ${(error as Error).message} (${asked})`;
        failures.push(failure);
        // At once: a run that is broken off has said what it saw.
        report(failure);
      } finally {
        if (++done % requestsBetweenReports === 0)
          report(`${done} of ${requests.length}, ${killer.kills} kills, ${seconds()} s`);
      }
    }
  };
  const working = Promise.all(Array.from({ length: atOnce }, work));
  await Promise.all([working, killer.until(() => done === requests.length)]);
  const figures = { seconds: seconds(), ...killer.figures() };
  const worker = await server.until(isIdle);
  const metrics = await metricsOf(server.url, apiKey);
  const { restarts } = worker;
  return { counts, failures, ended, cancelledIn, kills: killer.kills, restarts, metrics, figures };
}

const askedShownMax = 2_000;

export function report(text: string): void {
  process.stdout.write(`mixed: ${text}\n`);
}

export function tally(counts: Record<string, number>, name: string): void {
  counts[name] = (counts[name] ?? 0) + 1;
}

/** What only the grammar's compiler finds. */
const isRefusalOfSchema = ({ kind }: Mixed, error: unknown) =>
  kind === "constrained" &&
  error instanceof Refusal &&
  error.status === 400 &&
  (error.param ?? "").startsWith("response_format.json_schema.schema");

/** Undefined: it was left before its end. `onCancelled` hears in which phase one was that left in its prefill. */
async function play(
  url: string,
  request: Mixed,
  onCancelled: (phase: string) => void,
): Promise<Choice | undefined> {
  const { body, stream, departure, apiKey } = request;
  if (departure === undefined) return ask(url, body, { stream, apiKey });
  if ("inPrefill" in departure) {
    let left: Promise<string | undefined> | undefined;
    const onCreated = (id: string) => {
      left = cancelInPrefill(url, id, apiKey);
    };
    const choice = await askAsResponse(url, body, { apiKey, onCreated });
    const phase = await left;
    if (phase !== undefined) onCancelled(phase);
    return choice;
  }
  const leaving = new AbortController();
  const { signal } = leaving;
  try {
    return await ask(url, body, { stream, signal, apiKey, onDelta: leaveBy(departure, leaving) });
  } catch (error) {
    if (signal.aborted) return undefined;
    throw error;
  }
}

type AnyTime = Exclude<Departure, { inPrefill: true }>;

function leaveBy(departure: AnyTime, leaving: AbortController): () => void {
  if ("afterMs" in departure) {
    AbortSignal.timeout(departure.afterMs).addEventListener("abort", () => leaving.abort());
    return () => {};
  }
  let heard = 0;
  return () => {
    if (++heard === departure.afterDeltas) leaving.abort();
  };
}

const looksEveryMs = 20;

/** The event before its cancel, as the server has it. Undefined: it was too quick to be met in its prefill. */
async function cancelInPrefill(url: string, id: string, apiKey: string | undefined) {
  let isAsked = false;
  for (;;) {
    const events = await eventsOf(`${url}/debug/requests/${id}`, apiKey);
    const last = events.at(-1)!;
    if (last === "prefilling" && !isAsked) {
      isAsked = true;
      const headers = authorization(apiKey);
      await fetch(`${url}/v1/responses/${id}/cancel`, { method: "POST", headers });
    }
    const cancelled = events.indexOf("cancelling");
    if (cancelled > 0) return events[cancelled - 1];
    if (["ended", "turnedAway"].includes(last)) return undefined;
    await delay(looksEveryMs);
  }
}

async function eventsOf(url: string, apiKey: string | undefined): Promise<string[]> {
  const answer = await fetch(url, { headers: authorization(apiKey) });
  const { transitions } = (await answer.json()) as { transitions: { event: string }[] };
  return transitions.map(({ event }) => event);
}

/** Throws for one that is wrong. */
function outcomes(request: Mixed, choice: Choice | undefined, quiet: readonly Choice[]): Outcome[] {
  if (choice === undefined) return ["gone"];
  const wrong = request.complaint(choice);
  if (wrong !== undefined) throw new Error(`${wrong}: ${JSON.stringify(choice)}`);
  const isCut = choice.finish_reason === "length" && schemaKinds.includes(request.kind);
  const outcome = isCut ? "cut" : "right";
  if (request.reference === undefined) return [outcome];
  const expected = JSON.stringify(quiet[request.reference]);
  return [outcome, JSON.stringify(choice) === expected ? "same" : "other"];
}

/** Of a name all samples, by their labels as they stand there. */
async function metricsOf(
  url: string,
  apiKey: string | undefined,
): Promise<(name: string) => Record<string, number>> {
  const text = await (await fetch(`${url}/metrics`, { headers: authorization(apiKey) })).text();
  return (name) =>
    Object.fromEntries(
      [...text.matchAll(/^mlx_serving:(\w+)\{(.*)\} (\S+)$/gm)]
        .filter(([, of]) => of === name)
        .map(([, , labels, value]) => [labels!, Number(value)]),
    );
}
