/** The batch of one worker incarnation: its machine's state and its window timer. Knows no request. */
import * as Batch from "../machines/Batch.js";
import type { Clock, Timer } from "./ports.js";

export interface BatchHost {
  submit(requestIds: readonly string[]): void;
  /** They had joined but the worker never heard of them. */
  evict(requestIds: readonly string[]): void;
  rejected(kind: string, state: string, event: string): void;
}

export class RunningBatch {
  private state: Batch.State;
  private window: Timer | undefined;

  constructor(
    terms: Batch.Terms,
    private readonly clock: Clock,
    private readonly host: BatchHost,
  ) {
    this.state = Batch.initial(terms);
  }

  get free(): Batch.Budget {
    return Batch.free(this.state);
  }

  get members(): readonly Batch.Member[] {
    return Batch.members(this.state);
  }

  /** False when the machine did not admit it, which is a bug in the plan. */
  join(requestId: string, cost: Batch.Cost, key: string, exclusive: boolean): boolean {
    return this.post({ kind: "join", requestId, cost, key, exclusive, at: this.clock.now() });
  }

  prefilled(requestId: string): void {
    this.post({ kind: "prefilled", requestId });
  }

  leave(requestId: string): void {
    this.post({ kind: "leave", requestId });
  }

  drain(cause: Batch.DrainCause): void {
    this.post({ kind: "drain", cause });
  }

  workerLost(): void {
    this.post({ kind: "workerLost" });
  }

  private post(event: Batch.Event): boolean {
    const outcome = Batch.transition(this.state, event);
    if (!outcome.ok) {
      this.host.rejected(outcome.rejection.kind, this.state.kind, event.kind);
      return false;
    }
    this.state = outcome.state;
    for (const effect of outcome.effects) this.run(effect);
    return true;
  }

  private run(effect: Batch.Effect): void {
    switch (effect.kind) {
      case "arm":
        this.window?.cancel();
        this.window = this.clock.after(effect.ms, () => this.post({ kind: "windowElapsed" }));
        return;
      case "submit":
        return this.host.submit(effect.requestIds);
      case "evict":
        return this.host.evict(effect.requestIds);
      case "released":
        return;
      case "closed":
        this.window?.cancel();
        return;
    }
  }
}
