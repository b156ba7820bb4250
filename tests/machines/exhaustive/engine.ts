/**
 * The shipped orchestrator in one turn: inputs in, each command carried out in order before the next input, as
 * `src-ts/engine/runner.ts` does. Knows the orchestrator by its interface alone, and decides nothing.
 */
import {
  type Command,
  copy,
  handle,
  type Input,
  make,
  type Orchestrator,
  type RequestView,
  viewRequest,
  viewWorker,
  type WorkerView,
} from "../../../src-ts/machines/Orchestrator.js";
import { carryOut } from "./commands.js";
import type { Draft } from "./draft.js";
import { configOf } from "./terms.js";
import type { Turn } from "./turn.js";
import { requestName, workerName } from "./world.js";

export class Engine implements Turn {
  private readonly inbox: { readonly input: Input; readonly at: number }[] = [];
  private running = false;
  private isOver = true;

  constructor(
    readonly draft: Draft,
    readonly orchestrator: Orchestrator,
  ) {}

  static make(draft: Draft): Engine {
    return new Engine(draft, make(configOf(draft.configuration)));
  }

  /** As it is right now, independent of this one. */
  copy(): Engine {
    const copied = new Engine(this.draft.copy(), copy(this.orchestrator));
    copied.isOver = this.isOver;
    return copied;
  }

  post(input: Input, at: number = this.draft.now): void {
    this.inbox.push({ input, at });
    if (this.running) return;
    this.running = true;
    for (let next = this.inbox.shift(); next !== undefined; next = this.inbox.shift())
      for (const command of handle(this.orchestrator, next.input, next.at))
        this.carryOut(command, next.input);
    this.running = false;
  }

  end(): void {
    while (!this.isOver) {
      this.isOver = true;
      this.post({ kind: "turnEnded" });
    }
  }

  request(request: number): RequestView | undefined {
    return viewRequest(this.orchestrator, requestName(request));
  }

  worker(worker: number): WorkerView {
    return viewWorker(this.orchestrator, workerName(worker))!;
  }

  private carryOut(command: Command, because: Input): void {
    if (command.kind === "endTurn") this.isOver = false;
    else carryOut(this, command, because);
  }
}
