/** How far each request got, and how many of its leases were lost for nothing: counted apart from its machine. */
import { retriesMax } from "../../../src-ts/machines/Request.js";
import { type Draft, law } from "./draft.js";
import { promptTokens, requestName } from "./world.js";

/** Its worker says that so much of the prompt is done, and it is listened to. */
export function countProgress(draft: Draft, request: number, done: number): void {
  reach(draft, request, done);
}

export function countTokens(draft: Draft, request: number): void {
  reach(draft, request, promptTokens + draft.request(request).logged);
}

function reach(draft: Draft, request: number, reached: number): void {
  if (reached > draft.request(request).furthest)
    draft.changeRequest(request, { furthest: reached, retries: 0, doubts: 0 });
}

/** Its slot is free: was that a loss, and for nothing? */
export function countLoss(draft: Draft, request: number): void {
  const { slot, furthest, closed, gaveUp, ...before } = draft.request(request);
  const charged = slot!.lost?.charged === true && furthest === slot!.furthestAtStart;
  const retries = before.retries + (charged && !slot!.lost?.beside ? 1 : 0);
  const doubts = before.doubts + (charged && slot!.lost?.beside ? 1 : 0);
  draft.changeRequest(request, { retries, doubts });
  // Whoever was being ended anyway has ended.
  if (closed && !gaveUp) return;
  const says = `${requestName(request)} has ${retries} retries without progress, and ${closed ? "fails" : "goes on"}`;
  law(closed === retries >= retriesMax, says);
}
