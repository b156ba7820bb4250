/** A world while one move changes it, and what this move is allowed. Knows no rule. */
import type { Configuration } from "./configuration.js";
import type { Process, RequestPart, ServerPart, WorkerPart, World } from "./world.js";

/** A law of the design does not hold. */
export class Broken extends Error {
  override readonly name = "Broken";
}

export function law(holds: boolean, says: string): asserts holds {
  if (!holds) throw new Broken(says);
}

export class Draft implements World {
  readonly requests: (RequestPart | null)[];
  readonly workers: WorkerPart[];
  server: ServerPart;
  now: number;
  /** Who is lying in this turn: only then may a machine call something illegal. */
  liar: number | undefined;
  /** Whether the lie is about something that nobody listens to. */
  mayBeIgnored = false;
  /** Whose incarnation before speaks in this turn. */
  ghost: number | undefined;
  /** Workers that have said a step in this turn, and have not been told that it is taken. */
  readonly unacknowledged = new Set<number>();

  constructor(
    world: World,
    readonly configuration: Configuration,
  ) {
    this.requests = [...world.requests];
    this.workers = [...world.workers];
    this.server = world.server;
    this.now = world.now;
  }

  /** Independent of this one. */
  copy(): Draft {
    const copied = new Draft(this, this.configuration);
    copied.liar = this.liar;
    copied.mayBeIgnored = this.mayBeIgnored;
    copied.ghost = this.ghost;
    for (const worker of this.unacknowledged) copied.unacknowledged.add(worker);
    return copied;
  }

  request(request: number): RequestPart {
    return this.requests[request]!;
  }

  worker(worker: number): WorkerPart {
    return this.workers[worker]!;
  }

  changeRequest(request: number, change: Partial<RequestPart>): void {
    this.requests[request] = { ...this.request(request), ...change };
  }

  changeWorker(worker: number, change: Partial<WorkerPart>): void {
    this.workers[worker] = { ...this.worker(worker), ...change };
  }

  changeProcess(worker: number, change: Partial<Process>): void {
    const { process } = this.worker(worker);
    if (process !== null) this.changeWorker(worker, { process: { ...process, ...change } });
  }

  spendFault(): void {
    this.server = { ...this.server, faultsLeft: this.server.faultsLeft - 1 };
  }
}
