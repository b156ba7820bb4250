/**
 * Runs the orchestrator: input in, commands carried out in order, one input at a time. The only re-entrancy
 * rule of the engine: what a command leads to is an input that waits until all commands before it are done.
 */
import * as Orchestrator from "../machines/Orchestrator.js";
import type * as messages from "../worker/messages.js";
import type { Clock } from "./ports.js";

/** What was said with an input, for whoever carries out what it leads to: the orchestrator knows no content. */
export interface Said {
  /** Why something was refused or failed, in words. */
  message?: string | undefined;
  /** The field of the submission that is to blame. */
  field?: string | undefined;
  /** What the worker held back until the end. */
  tail?: messages.Said;
  /** What the prompt was rendered to, and how its model samples by default. */
  promptTokens?: Uint32Array;
  sampling?: messages.SamplingDefaults | undefined;
  /** Of several texts, each one's tokens. */
  lengths?: readonly number[] | undefined;
  /** Its reasoning was to be bounded, and its model's can't be. */
  unbounded?: boolean | undefined;
  /** The stop string that ended it. */
  stop?: string | undefined;
  /** Code of a load that failed. */
  code?: string;
}

export type Execute = (command: Orchestrator.Command, said: Said) => void;

interface Posted {
  input: Orchestrator.Input;
  said: Said;
}

const nothing: Said = {};

export class Runner {
  readonly orchestrator: Orchestrator.Orchestrator;
  private readonly inbox: Posted[] = [];
  private running = false;

  constructor(
    config: Orchestrator.Config,
    private readonly clock: Clock,
    private readonly execute: Execute,
  ) {
    this.orchestrator = Orchestrator.make(config);
  }

  post(input: Orchestrator.Input, said: Said = nothing): void {
    this.inbox.push({ input, said });
    if (this.running) return;
    this.running = true;
    try {
      for (let next = this.inbox.shift(); next !== undefined; next = this.inbox.shift())
        this.handle(next);
    } finally {
      this.running = false;
    }
  }

  private handle({ input, said }: Posted): void {
    for (const command of Orchestrator.handle(this.orchestrator, input, this.clock.now()))
      this.execute(command, said);
  }
}
