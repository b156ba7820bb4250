/** How far each request got, and how many of its leases were lost for nothing: counted apart from its machine. */
import type * as Request from "../../../src-ts/machines/Request.js";
import { strikesMax } from "../../../src-ts/machines/Request.js";
import { type Draft, law } from "./draft.js";
import { promptTokens } from "./world.js";

/** The law of strikes, counted apart from the machine. */
export function countStrikes(
  draft: Draft,
  request: number,
  from: Request.State,
  event: Request.Event,
): void {
  const part = draft.request(request);
  const ending = from.kind === "cancelling" && from.cause !== "preempted";
  if (ending || !("lease" in from)) return;
  const reached =
    event.kind === "progress"
      ? event.done
      : event.kind === "tokens"
        ? promptTokens + event.index + event.count
        : 0;
  if (reached > part.furthest)
    draft.changeRequest(request, { furthest: reached, fruitless: 0, doubts: 0 });
  if (event.kind !== "lost") return;
  const struck = event.loss !== "stopped" && part.furthest === part.furthestAtStart;
  const fruitless = part.fruitless + (struck && !event.preparing ? 1 : 0);
  const doubts = part.doubts + (struck && event.preparing ? 1 : 0);
  draft.changeRequest(request, { fruitless, doubts });
  const failed = part.state.kind === "done";
  law(failed === fruitless >= strikesMax, `${fruitless} strikes, and ${part.state.kind}`);
}
