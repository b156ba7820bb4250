/** The books that an outsider keeps of slots, prompts and timers. */
import type * as Worker from "../../../src-ts/machines/Worker.js";
import type { Draft } from "./draft.js";
import { requestName, type Slot } from "./world.js";

export function holderOf(draft: Draft, slot: number): number | undefined {
  const request = draft.requests.findIndex((one) => one?.slot?.id === slot);
  return request === -1 ? undefined : request;
}

export function changeSlot(draft: Draft, request: number, change: Partial<Slot>): void {
  const { slot } = draft.request(request);
  if (slot !== null) draft.changeRequest(request, { slot: { ...slot, ...change } });
}

/** A worker has answered for this prompt. */
export function answered(draft: Draft, worker: number, id: number): void {
  const { preparing } = draft.worker(worker);
  if (!preparing.includes(id)) return;
  draft.changeWorker(worker, { preparing: preparing.filter((one) => one !== id) });
  const request = draft.requests.findIndex((one) => one?.preparing?.id === id);
  if (request !== -1) draft.changeRequest(request, { preparing: null });
}

export const nameOfSlot = (draft: Draft, id: number): string => {
  const request = draft.requests.findIndex(
    (one) => one?.slot?.id === id || one?.preparing?.id === id,
  );
  return request === -1 ? "a slot that has gone" : requestName(request);
};

export function disarm(draft: Draft, worker: number, timer: Worker.Timer): void {
  const { timers } = draft.worker(worker);
  if (!timers.includes(timer)) return;
  draft.changeWorker(worker, { timers: timers.filter((one) => one !== timer) });
}
