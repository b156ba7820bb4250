/** A world while one move changes it, and what this move is allowed. Knows no rule. */
import * as Batch from "../../../src-ts/machines/Batch.js";
import * as Request from "../../../src-ts/machines/Request.js";
import * as Worker from "../../../src-ts/machines/Worker.js";
import type { Configuration } from "./configuration.js";
import type { Process, RequestPart, ServerPart, WorkerPart, World } from "./world.js";

/** A law of the design does not hold. */
export class Broken extends Error {
  override readonly name = "Broken";
}

export function law(holds: boolean, says: string): asserts holds {
  if (!holds) throw new Broken(says);
}

/** What a mutation may leave out of the glue. */
export type Omission =
  | "epoch check"
  | "release"
  | "abort"
  | "recount"
  | "window timer"
  | "watchdog"
  | "right index"
  | "index of the preempted"
  | "tokens of one event"
  | "limit of tokens"
  | "right culprit"
  | "trial"
  | "orphan"
  | "reserve"
  | "room of a suspect";

/** The machines and the glue; a test may put wrong ones in. */
export interface Machinery {
  readonly request: typeof Request.transition;
  readonly batch: typeof Batch.transition;
  readonly worker: typeof Worker.transition;
  readonly omits: Omission | undefined;
}

export const machinery: Machinery = {
  request: Request.transition,
  batch: Batch.transition,
  worker: Worker.transition,
  omits: undefined,
};

type Transition<S extends object, E, O> = (state: S, event: E) => O;

/**
 * The same answers without asking twice. Machines are pure, so that equal questions have one answer;
 * and since it is one object, whoever writes states down writes each one once.
 */
export function remembered({ request, batch, worker, omits }: Machinery): Machinery {
  return {
    request: remember(request),
    batch: remember(batch),
    worker: remember(worker),
    omits,
  };
}

function remember<S extends object, E, O>(transition: Transition<S, E, O>): Transition<S, E, O> {
  const answers = new WeakMap<S, Map<string, O>>();
  return (state, event) => {
    let known = answers.get(state);
    if (known === undefined) {
      known = new Map();
      answers.set(state, known);
    }
    const question = JSON.stringify(event);
    let answer = known.get(question);
    if (answer === undefined) {
      answer = transition(state, event);
      known.set(question, answer);
    }
    return answer;
  };
}

export class Draft {
  readonly requests: (RequestPart | null)[];
  readonly workers: WorkerPart[];
  server: ServerPart;
  /** Above every id that a world between two turns has. */
  private newestSlot = 100;
  /** Who is lying in this turn: only then may a machine call something illegal. */
  liar: number | undefined;
  /** Whether the lie is about something that nobody listens to. */
  mayBeIgnored = false;

  constructor(
    readonly world: World,
    readonly configuration: Configuration,
    readonly machinery: Machinery,
  ) {
    this.requests = [...world.requests];
    this.workers = [...world.workers];
    this.server = world.server;
  }

  nextSlot(): number {
    this.newestSlot += 1;
    return this.newestSlot;
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

  omits(what: Omission): boolean {
    return this.machinery.omits === what;
  }
}
