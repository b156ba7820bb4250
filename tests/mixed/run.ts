/** One run in memory enough: the requests, and what they said in quiet. */
import { startServer } from "../e2e/support/server.js";
import { Random } from "../simulation/random.js";
import { closingTokens } from "../support/brevity.js";
import { ask, type Choice } from "./ask.js";
import { playAll, report, tally } from "./play.js";
import { mixedRequests } from "./requests.js";

export interface Plan {
  /** Of the worker's batch; 1 is the deterministic profile. */
  maxBatch: number;
  count: number;
  atOnce: number;
  killEveryMs: number;
  seed: number;
  engine: "mlx" | "fake";
}

export const fakeFlags = ["--engine", "fake", "--fake-tokens-per-second", "200"];
const closingIsLikelierBy = 8;

export async function mixedRun(plan: Plan) {
  const { maxBatch, count, atOnce, seed, engine } = plan;
  const chance = new Random(seed);
  await using server = await startServer({
    flags: [
      ...["--max-batch", `${maxBatch}`, "--max-queue", `${2 * atOnce}`, "--log-level", "error"],
      ...(engine === "fake" ? fakeFlags : []),
    ],
  });
  const { requests, references } = mixedRequests(count, chance, brevityOf(engine));
  const quiet: Choice[] = [];
  for (const { body } of references) quiet.push(await ask(server.url, body));

  const { figures, ...run } = await playAll(server, requests, quiet, plan, chance.fork());
  for (const { finish_reason } of quiet) tally(run.ended, finish_reason);
  const { counts, ended, restarts } = run;
  report(JSON.stringify({ maxBatch, count, atOnce, ...figures, restarts, counts, ended }));
  return run;
}

/** The bias of what is kept to a schema. */
export function brevityOf(engine: Plan["engine"]): Record<string, number> {
  if (engine === "fake") return {};
  return Object.fromEntries(closingTokens().map((token) => [token, closingIsLikelierBy]));
}
