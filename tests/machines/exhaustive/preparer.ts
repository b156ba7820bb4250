/** Who prepares which request, as `src-ts/engine/preparer.ts` has it. */
import type * as Request from "../../../src-ts/machines/Request.js";
import type { Loss } from "../../../src-ts/machines/Request.js";
import type { Draft } from "./draft.js";
import { accepts, type Down, isSuspect, preparedBy, promptTokens, slotsOf } from "./world.js";

interface PreparerHost {
  post(request: number, event: Request.Event): void;
  send(worker: number, frame: Down): void;
  recount(worker: number): void;
  wantPlan(): void;
}

export class Preparer {
  constructor(
    private readonly draft: Draft,
    private readonly host: PreparerHost,
  ) {}

  start(request: number, alone: boolean): void {
    if (alone && !this.draft.omits("trial"))
      return this.draft.changeRequest(request, { suspect: true });
    const worker = this.pick();
    if (worker === undefined) return this.draft.changeRequest(request, { waiting: true });
    this.send(request, worker, false);
  }

  /** End of the turn. */
  review(): void {
    for (const worker of this.draft.workers.keys()) this.tryAlone(worker);
    for (const [index, request] of this.draft.requests.entries())
      if (request?.waiting) this.start(index, false);
  }

  tryAlone(worker: number): void {
    if (!this.draft.worker(worker).available || this.held(worker) > 0) return;
    if (slotsOf(this.draft, worker).length > 0) return;
    const request = this.draft.requests.findIndex((one) => one?.suspect);
    if (request !== -1) this.send(request, worker, true);
  }

  lost(worker: number, loss: Loss): void {
    const lost = preparedBy(this.draft, worker);
    this.draft.changeWorker(worker, { orphans: 0, trying: false });
    for (const request of lost) {
      const { deaths } = this.draft.request(request);
      const charged = loss === "stopped" ? 0 : 1;
      this.draft.changeRequest(request, { preparing: null, deaths: deaths + charged });
      this.host.post(request, { kind: "preparerLost", loss });
    }
  }

  /** It has ended; its worker is still at it. */
  drop(request: number): void {
    const { preparing } = this.draft.request(request);
    if (preparing === null) return;
    const { orphans } = this.draft.worker(preparing.worker);
    this.draft.changeRequest(request, { preparing: null });
    if (!this.draft.omits("orphan"))
      this.draft.changeWorker(preparing.worker, { orphans: orphans + 1 });
    else this.host.recount(preparing.worker);
  }

  answer(worker: number, id: number, event: Request.Event): void {
    const request = this.draft.requests.findIndex((one) => one?.preparing?.id === id);
    const { orphans } = this.draft.worker(worker);
    if (request === -1 && orphans === 0) return;
    if (request === -1) this.draft.changeWorker(worker, { orphans: orphans - 1 });
    else this.draft.changeRequest(request, { preparing: null });
    this.draft.changeWorker(worker, { trying: false });
    this.host.recount(worker);
    if (this.held(worker) === 0) this.host.wantPlan();
    this.tryAlone(worker);
    if (request !== -1) this.host.post(request, event);
  }

  prepared(worker: number, id: number): void {
    this.answer(worker, id, { kind: "prepared", promptTokens });
  }

  unpreparable(worker: number, id: number): void {
    this.answer(worker, id, { kind: "unpreparable", code: "invalid_prompt" });
  }

  held(worker: number): number {
    return preparedBy(this.draft, worker).length + this.draft.worker(worker).orphans;
  }

  private pick(): number | undefined {
    const able = [...this.draft.workers.keys()].filter(
      (worker) => accepts(this.draft.worker(worker)) && !this.isReserved(worker),
    );
    return able.toSorted((a, b) => this.held(a) - this.held(b))[0];
  }

  /** Somebody who must be alone runs there, or is about to. */
  private isReserved(worker: number): boolean {
    if (this.draft.omits("reserve")) return false;
    const { requests } = this.draft;
    const held = slotsOf(this.draft, worker);
    if (held.length > 0) return held.some((one) => isSuspect(requests[one]!));
    return requests.some((one) => one?.queued && isSuspect(one));
  }

  private send(request: number, worker: number, alone: boolean): void {
    const id = this.draft.nextSlot();
    const preparing = { id, worker, alone };
    this.draft.changeRequest(request, { waiting: false, suspect: false, preparing });
    if (alone) this.draft.changeWorker(worker, { trying: true });
    this.host.recount(worker);
    const deadly = this.draft.configuration.poison === "prepare" && request === 0;
    this.host.send(worker, { type: "prepare", id, deadly });
  }
}
