/** What the orchestrator is made with here, and what is said of models and requests. */
import type { Config } from "../../../src-ts/machines/Orchestrator.js";
import * as Scheduler from "../../../src-ts/machines/Scheduler.js";
import * as Worker from "../../../src-ts/machines/Worker.js";
import type { Configuration } from "./configuration.js";
import { workerName } from "./world.js";

export const modelId = "m";

/** By request, so that there is something to preempt. */
const priorities = ["batch", "interactive", "normal"] as const;

/** So short that no other time passes meanwhile. */
export const reductionMs = 1;

export function configOf(configuration: Configuration): Config {
  const { workers, spares, membersMax, tokensMax, deathsWithoutProgressMax } = configuration;
  return {
    workers: Array.from({ length: workers }, (_, index) => [workerName(index), modelId]),
    activeMax: workers - spares,
    membersMax,
    queueMax: 100,
    newTokensDefault: tokensMax,
    // So little that prompts wait for one another.
    prefillTokensMax: 1,
    batchWindowMs: 1,
    reductionMs,
    workerPolicy: { ...Worker.defaultPolicy, deathsWithoutProgressMax },
    schedulerPolicy: { ...Scheduler.defaultPolicy, imbalanceMax: 2 },
  };
}

/** What a loaded model allows: as many requests as a batch may have members. */
export const limitsOf = ({ membersMax }: Configuration) => ({
  contextMax: 9,
  kvBytesPerToken: 0,
  kvBytesFixed: 1,
  kvBudgetBytes: membersMax,
  kvAloneBytes: membersMax,
  kvRoom: { oneIn: 1, tokensMin: 0, tokensMax: 0 },
  weightsBytes: 1,
});

/** Who asks for what: one client, each request with a priority of its own. */
export function identityOf({ liberties }: Configuration, requestId: string, request: number) {
  const priority = priorities[request % priorities.length]!;
  const deadlineMs = liberties.includes("deadline") ? 1e9 : Number.POSITIVE_INFINITY;
  return { requestId, modelId, clientId: "c", priority, deadlineMs };
}

/** Who comes in only so that a plan is made: see `liberties.ts`. */
export const visitor = "visitor";
