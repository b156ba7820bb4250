/** One run: the requests so many at a time, the kills beside them, what came of each, and whether the counts add up. */
import { isIdle, startServer } from "../e2e/support/server.js";
import { Random } from "../simulation/random.js";
import { closingTokens } from "../support/brevity.js";
import { ask, type Choice } from "./ask.js";
import { Killer } from "./killer.js";
import { type Departure, type Kind, kinds, type Mixed, mixedRequests } from "./requests.js";

export interface Plan {
  /** Of the worker's batch; 1 is the deterministic profile. */
  maxBatch: number;
  count: number;
  atOnce: number;
  killEveryMs: number;
  seed: number;
  engine: "mlx" | "fake";
}

/**
 * `right`: it ended, and is what it must be. `cut`: by its token limit before its document or call was whole.
 * `gone`: its reader left before its end. `same`, `other`: of those that were asked in quiet too.
 */
export type Outcome = "right" | "cut" | "gone" | "same" | "other";
export type Counts = Record<Kind, Record<Outcome, number>>;

const schemaKinds: readonly Kind[] = ["constrained", "tools"];
const fake = ["--engine", "fake", "--fake-tokens-per-second", "200"];
const requestsBetweenReports = 100;
const closingIsLikelierBy = 8;

export async function mixedRun(plan: Plan) {
  const { maxBatch, count, atOnce, killEveryMs, seed, engine } = plan;
  const chance = new Random(seed);
  const brevity = engine === "fake" ? {} : biasTo(closingTokens());
  await using server = await startServer({
    flags: [
      ...["--max-batch", `${maxBatch}`, "--max-queue", `${2 * atOnce}`, "--log-level", "error"],
      ...(engine === "fake" ? fake : []),
    ],
  });
  const { requests, references } = mixedRequests(count, chance, brevity);
  const quiet: Choice[] = [];
  for (const { body } of references) quiet.push(await ask(server.url, body));

  const startedAt = performance.now();
  const seconds = () => Math.round((performance.now() - startedAt) / 1_000);
  const killer = new Killer(server, killEveryMs, chance.fork());
  const counts = Object.fromEntries(
    kinds.map((kind) => [kind, { right: 0, cut: 0, gone: 0, same: 0, other: 0 }]),
  ) as Counts;
  const failures: string[] = [];
  const ended: Record<string, number> = {};
  for (const { finish_reason } of quiet) tally(ended, finish_reason);
  const left = requests.values();
  let done = 0;
  const work = async () => {
    for (const request of left) {
      const { kind, body } = request;
      try {
        const choice = await play(server.url, request);
        if (choice !== undefined) tally(ended, choice.finish_reason);
        for (const outcome of outcomes(request, choice, quiet)) counts[kind][outcome]++;
      } catch (error) {
        failures.push(`${kind}: ${(error as Error).message} (${JSON.stringify(body)})`);
      }
      if (++done % requestsBetweenReports === 0)
        report(`${done} of ${count}, ${killer.kills} kills, ${seconds()} s`);
    }
  };
  const working = Promise.all(Array.from({ length: atOnce }, work));
  await Promise.all([working, killer.until(() => done === count)]);
  const figures = { maxBatch, count, atOnce, seconds: seconds(), ...killer.figures() };
  const worker = await server.until(isIdle);
  const metrics = await metricsOf(server.url);
  report(JSON.stringify({ ...figures, restarts: worker.restarts, counts, ended }));
  return { counts, failures, ended, kills: killer.kills, restarts: worker.restarts, metrics };
}

const biasTo = (tokens: readonly number[]) =>
  Object.fromEntries(tokens.map((token) => [token, closingIsLikelierBy]));

function report(text: string): void {
  process.stdout.write(`mixed: ${text}\n`);
}

function tally(counts: Record<string, number>, name: string): void {
  counts[name] = (counts[name] ?? 0) + 1;
}

/** Undefined: it was left before its end. */
async function play(url: string, request: Mixed): Promise<Choice | undefined> {
  const { body, stream, departure } = request;
  if (departure === undefined) return ask(url, body, { stream });
  const leaving = new AbortController();
  const onDelta = leaveBy(departure, leaving);
  try {
    return await ask(url, body, { stream, signal: leaving.signal, onDelta });
  } catch (error) {
    if (leaving.signal.aborted) return undefined;
    throw error;
  }
}

function leaveBy(departure: Departure, leaving: AbortController): () => void {
  if ("afterMs" in departure) {
    AbortSignal.timeout(departure.afterMs).addEventListener("abort", () => leaving.abort());
    return () => {};
  }
  let heard = 0;
  return () => {
    if (++heard === departure.afterDeltas) leaving.abort();
  };
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
async function metricsOf(url: string): Promise<(name: string) => Record<string, number>> {
  const text = await (await fetch(`${url}/metrics`)).text();
  return (name) =>
    Object.fromEntries(
      [...text.matchAll(/^mlx_serving:(\w+)\{(.*)\} (\S+)$/gm)]
        .filter(([, of]) => of === name)
        .map(([, , labels, value]) => [labels!, Number(value)]),
    );
}
