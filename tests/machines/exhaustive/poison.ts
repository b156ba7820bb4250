/** Who pays for a request that kills whoever touches it: that request, soon, and nobody else. */
import type { View } from "../../../src-ts/machines/Orchestrator.js";
import {
  preparationDeathsMax,
  retriesBeforeAlone,
  retriesMax,
} from "../../../src-ts/machines/Request.js";
import { type Draft, law } from "./draft.js";
import { requestName } from "./world.js";

/** Processes that a poison may kill: as many as are charged to it, and those that somebody else may have killed. */
const killsMax = {
  nothing: 0,
  prepare: preparationDeathsMax,
  run: retriesMax + retriesBeforeAlone,
} as const;

const isUndisturbed = ({ server, configuration }: Draft): boolean =>
  server.faultsLeft === configuration.faultsMax;

export function checkPoison(draft: Draft, view: View): void {
  const { poison } = draft.configuration;
  const { kills } = draft.server;
  law(kills <= killsMax[poison], `a poison kills ${kills} processes`);
  if (poison !== "prepare" || !isUndisturbed(draft)) return;
  for (const { workerId, state } of view.workers)
    law(
      state.kind !== "backoff" && state.kind !== "broken",
      `${workerId} pays for what it prepared: it is ${state.kind}`,
    );
  for (const [index, one] of draft.requests.entries())
    law(
      one === null || one.retries === 0,
      `${requestName(index)} pays with a retry without progress`,
    );
}

/** Who fails for a death has been there at the last of them alone. */
export function checkFailure(draft: Draft, request: number): void {
  const { accepted, deaths } = draft.request(request);
  const name = requestName(request);
  law(accepted || deaths === preparationDeathsMax, `${name} fails after ${deaths} deaths`);
  const guilty = draft.configuration.poison !== "nothing" && request === 0;
  law(guilty || !isUndisturbed(draft), `${name} fails for what it did not do`);
}
