/**
 * The supervisors of the workers, as `src-ts/engine/supervisor.ts` and `worker-events.ts` have them:
 * events in order, effects in order, what concerns requests goes to the loop. Checks what each effect
 * promises.
 */
import type { Loss } from "../../../src-ts/machines/Request.js";
import type * as Worker from "../../../src-ts/machines/Worker.js";
import type { Fault, Intent } from "../../../src-ts/machines/Worker.js";
import { type Draft, law } from "./draft.js";
import { type Down, newProcess, workerName } from "./world.js";

/** What only the worker itself may say. */
const saidByWorkers: ReadonlySet<Worker.Event["kind"]> = new Set([
  "hello",
  "loadProgress",
  "loaded",
  "loadFailed",
  "progressed",
  "busy",
]);

function lossOf(fault: Fault, ranOut: boolean): Loss {
  if (ranOut) return "outOfMemory";
  const same = ["linkClosed", "linkViolated", "stalled", "stopped", "outOfMemory"];
  return same.includes(fault) ? (fault as Loss) : "exited";
}

export interface SupervisorHost {
  workerAvailable(worker: number): void;
  workersChanged(): void;
  workerDrains(worker: number): void;
  workerLost(worker: number, loss: Loss): void;
  modelBroken(): void;
  send(worker: number, frame: Down): void;
}

export class Supervisors {
  private readonly inboxes = new Map<number, Worker.Event[]>();

  constructor(
    private readonly draft: Draft,
    private readonly host: SupervisorHost,
  ) {}

  epoch(worker: number): number {
    return this.draft.worker(worker).state.memory.epoch;
  }

  post(worker: number, event: Worker.Event): void {
    const inbox = this.inboxes.get(worker);
    if (inbox !== undefined) {
      inbox.push(event);
      return;
    }
    const mine = [event];
    this.inboxes.set(worker, mine);
    for (let next = mine.shift(); next !== undefined; next = mine.shift()) this.step(worker, next);
    this.inboxes.delete(worker);
  }

  /** How many requests it holds, prepared or running; `preparing`: of them, the former. */
  holds(worker: number, count: number, preparing: number): void {
    const { pending, pendingPreparing, state } = this.draft.worker(worker);
    if ((count === pending && preparing === pendingPreparing) || this.draft.omits("recount"))
      return;
    this.draft.changeWorker(worker, { pending: count, pendingPreparing: preparing });
    if (!("duty" in state)) return;
    this.post(worker, { kind: "pending", epoch: this.epoch(worker), count, preparing, at: 0 });
  }

  condemn(worker: number): void {
    const culprit = this.draft.omits("right culprit") ? 0 : worker;
    this.draft.changeWorker(culprit, { outOfMemory: false });
    this.post(culprit, { kind: "violated", epoch: this.epoch(culprit) });
  }

  private step(worker: number, event: Worker.Event): void {
    const from = this.draft.worker(worker).state;
    const outcome = this.draft.machinery.worker(from, event);
    if (!outcome.ok) return this.reject(worker, outcome.rejection, event, from);
    this.draft.changeWorker(worker, { state: outcome.state });
    for (const effect of outcome.effects) this.run(worker, effect);
  }

  private reject(
    worker: number,
    { kind }: Worker.Rejection,
    event: Worker.Event,
    from: Worker.State,
  ): void {
    if (kind !== "illegal") return;
    const says = `${workerName(worker)} says ${event.kind} while ${from.kind}: illegal, and honest`;
    law(this.draft.liar === worker, says);
    if (saidByWorkers.has(event.kind)) this.condemn(worker);
  }

  private run(worker: number, effect: Worker.Effect): void {
    // What is said of an incarnation that has gone comes when the next one is the machine's already.
    if ("epoch" in effect && effect.kind !== "lose" && effect.kind !== "unavailable")
      law(effect.epoch === this.epoch(worker), `${effect.kind} is for the incarnation that lives`);
    switch (effect.kind) {
      case "spawn":
        return this.spawn(worker);
      case "load":
        return this.host.send(worker, { type: "load" });
      case "askDrain":
        return; // asks nothing of the process: no more work comes, and `stop` follows
      case "askStop":
        return this.host.send(worker, { type: "stop" });
      case "kill":
        return this.draft.changeProcess(worker, { killed: true });
      case "arm":
        return this.arm(worker, effect.timer);
      case "disarm":
        return this.disarm(worker, effect.timer);
      case "available":
        return this.available(worker);
      case "unavailable":
        return this.unavailable(worker);
      case "lose":
        return this.lose(worker, effect.fault);
      case "report":
        return effect.fatal ? this.reportBroken() : undefined;
    }
  }

  private spawn(worker: number): void {
    law(this.draft.worker(worker).process === null, "one live process per worker");
    this.draft.changeWorker(worker, {
      process: newProcess,
      pending: 0,
      pendingPreparing: 0,
      wasReady: false,
      lost: false,
    });
  }

  private arm(worker: number, timer: Worker.Timer): void {
    this.disarm(worker, timer);
    const { timers } = this.draft.worker(worker);
    this.draft.changeWorker(worker, { timers: [...timers, timer].toSorted() });
  }

  disarm(worker: number, timer: Worker.Timer): void {
    const { timers } = this.draft.worker(worker);
    if (!timers.includes(timer)) return;
    this.draft.changeWorker(worker, { timers: timers.filter((one) => one !== timer) });
  }

  private available(worker: number): void {
    law(!this.draft.worker(worker).available, "available and unavailable alternate");
    this.draft.changeWorker(worker, { available: true, wasReady: true });
    this.host.workerAvailable(worker);
  }

  private unavailable(worker: number): void {
    law(this.draft.worker(worker).available, "available and unavailable alternate");
    this.draft.changeWorker(worker, { available: false });
    if (this.draft.worker(worker).state.kind === "draining") this.host.workerDrains(worker);
    else this.host.workersChanged();
  }

  private lose(worker: number, fault: Fault): void {
    const { wasReady, lost } = this.draft.worker(worker);
    law(wasReady && !lost, "lose comes once for an incarnation that was ready, and for no other");
    this.draft.changeWorker(worker, {
      available: false,
      pending: 0,
      pendingPreparing: 0,
      lost: true,
    });
    this.host.workerLost(worker, lossOf(fault, this.draft.worker(worker).outOfMemory));
  }

  private reportBroken(): void {
    if (this.draft.workers.every(({ state }) => state.kind === "broken")) this.host.modelBroken();
  }

  /** An order of the administration, as `Engine.restartWorker` gives it. */
  restart(worker: number): void {
    const { kind } = this.draft.worker(worker).state;
    const resting = kind === "stopped" || kind === "broken" || kind === "backoff";
    this.post(worker, { kind: resting ? "start" : "restart" });
  }

  drain(worker: number, intent: Intent): void {
    this.post(worker, { kind: "drain", intent });
  }
}
