/** Who prepares which request, as `src-ts/engine/preparer.ts` has it. */
import type * as Request from "../../../src-ts/machines/Request.js";
import type { Draft } from "./draft.js";
import { accepts, type Down, promptTokens } from "./world.js";

interface PreparerHost {
  post(request: number, event: Request.Event): void;
  send(worker: number, frame: Down): void;
  recount(worker: number): void;
}

export class Preparer {
  constructor(
    private readonly draft: Draft,
    private readonly host: PreparerHost,
  ) {}

  start(request: number): void {
    const accepting = [...this.draft.workers.keys()].filter((w) => accepts(this.draft.worker(w)));
    const [worker] = accepting.toSorted((a, b) => this.held(a) - this.held(b));
    if (worker === undefined) return this.draft.changeRequest(request, { waiting: true });
    const id = this.draft.nextSlot();
    this.draft.changeRequest(request, { waiting: false, preparing: { id, worker } });
    this.host.recount(worker);
    this.host.send(worker, { type: "prepare", id });
  }

  available(): void {
    for (const [index, request] of this.draft.requests.entries())
      if (request?.waiting) this.start(index);
  }

  lost(worker: number): void {
    for (const [index, request] of this.draft.requests.entries())
      if (request?.preparing?.worker === worker)
        this.draft.changeRequest(index, { preparing: null, waiting: true });
  }

  drop(request: number): void {
    const { preparing } = this.draft.request(request);
    if (preparing === null) return;
    this.draft.changeRequest(request, { preparing: null });
    this.host.recount(preparing.worker);
  }

  private preparing(worker: number, id: number): number {
    return this.draft.requests.findIndex(
      (one) => one?.preparing?.id === id && one.preparing.worker === worker,
    );
  }

  prepared(worker: number, id: number): void {
    const request = this.preparing(worker, id);
    if (request === -1) return;
    this.drop(request);
    this.host.post(request, { kind: "prepared", promptTokens });
  }

  refused(worker: number, id: number): boolean {
    const request = this.preparing(worker, id);
    if (request === -1) return false;
    this.drop(request);
    this.host.post(request, { kind: "unpreparable", code: "invalid_prompt" });
    return true;
  }

  held(worker: number): number {
    return this.draft.requests.filter((one) => one?.preparing?.worker === worker).length;
  }
}
