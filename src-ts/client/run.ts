/// <reference lib="esnext.disposable" preserve="true" />
/**
 * The public face of a run: its events, its result, the ways to end it. What it does is in `run-turns.ts`, how it
 * runs tools in `run-tools.ts`.
 */
import { AbortedError, DefinitionError } from "./errors.js";
import { type Format, wireFormat } from "./formats.js";
import type { ClientPorts } from "./ports.js";
import type { RespondOptions, ResponseRequest } from "./requests.js";
import { Outbox } from "./run-outbox.js";
import type { RunEvent, RunProgress, RunResult } from "./run-progress.js";
import { type RunnableTool, ToolRunner } from "./run-tools.js";
import { type Answering, Turns } from "./run-turns.js";
import type { Schema } from "./schemas.js";
import { type RunnableCustom, type RunnableFunction, wireTools } from "./tools.js";

/** The types of their parameters, tool by tool. */
export type RunnableTools<P extends readonly unknown[]> = {
  readonly [K in keyof P]: RunnableFunction<P[K]> | RunnableCustom;
};

/** As that of `respond`; all tools are functions or custom tools with an `execute`. */
export type RunRequest<
  P extends readonly unknown[] = readonly Schema[],
  F extends Format = Format,
> = Omit<ResponseRequest<F>, "tools" | "generate"> & { tools: RunnableTools<P> };

/** `deadlineMs` is of each response. */
export interface RunOptions extends Omit<RespondOptions, "idempotencyKey"> {
  /** Responses, at most. Default 32. Past it: RunLimitError. */
  turnsMax?: number | undefined;
  /** Calls in all, at most. Default 256. Past it: RunLimitError; an answer's calls run all or not at all. */
  toolCallsMax?: number | undefined;
  /** For each call; a tool's `timeoutMs` goes before. Default 60,000; `Infinity`: no limit. */
  toolTimeoutMs?: number | undefined;
  /** Calls of one answer that run at once, at most. Default 8; 1: one after another. */
  parallelToolsMax?: number | undefined;
  /**
   * A tool throws, takes too long, or gives what has no JSON form: `answer` tells the model (the default), `raise` ends
   * the run with RunToolError. What the model does wrong (a tool that isn't there, arguments that aren't valid)
   * it is told in any case.
   */
  toolErrors?: "answer" | "raise" | undefined;
}

/** What a run takes from its client. */
export interface RunHost {
  ask(body: ResponseRequest, options: RespondOptions): Answering;
  after: ClientPorts["after"];
  bufferedEventsMax: number;
}

const turnsMaxDefault = 32;
const toolCallsMaxDefault = 256;
const toolTimeoutMsDefault = 60_000;
const parallelToolsMaxDefault = 8;

/**
 * A conversation that goes on until the model answers. It runs whether anybody reads or not. One reader: either
 * iterate, or `listen`, or only wait for `final()`; a slow one holds it back. Leaving the loop early, aborting the
 * signal and the end of an `await using` end it: the response is cancelled on the server, the signals of running
 * tools are aborted, and nobody waits for them.
 */
export class Run<Parsed = unknown> implements AsyncIterable<RunEvent> {
  readonly #turns: Turns;
  readonly #outbox: Outbox<RunEvent>;
  readonly #controller = new AbortController();
  readonly #result: Promise<RunResult<Parsed>>;
  #ended = false;

  /** @internal */
  constructor(host: RunHost, request: RunRequest, options: RunOptions) {
    const limits = limitsOf(options);
    const tools = runnable(request.tools);
    // What is wrong is said now, before anything is sent.
    wireFormat(request.text?.format);
    const body: ResponseRequest = { ...request, tools: wireTools(tools) };
    const { signal } = this.#controller;
    const { lane, deadlineMs, priority } = options;
    this.#outbox = new Outbox(host.bufferedEventsMax);
    const emit = (event: RunEvent) => this.#outbox.push(event);
    const runner = new ToolRunner({ ...limits, tools, signal, emit, after: host.after });
    this.#turns = new Turns({
      ...limits,
      body,
      runner,
      emit,
      ask: (turn) => host.ask(turn, { signal, lane, deadlineMs, priority }),
    });
    this.#result = this.#start(options.signal);
    // Who wants to know of a failure reads, or asks for the end.
    this.#result.catch(() => {});
  }

  /** True once there is a result, or it has failed. */
  get ended(): boolean {
    return this.#ended;
  }

  /** What has been done so far; also after a failure, when `history` is where to go on. */
  progress(): RunProgress {
    return this.#turns.progress();
  }

  /**
   * Iterates over the events to the end. Rejects as `final()` does; a `response.failed` is an event before that.
   */
  [Symbol.asyncIterator](): AsyncIterableIterator<RunEvent> {
    this.#outbox.iterate();
    let left = false;
    return {
      next: () => {
        if (left) return Promise.resolve({ done: true, value: undefined });
        return this.#outbox.next();
      },
      return: () => {
        left = true;
        this.#abort(new AbortedError());
        return Promise.resolve({ done: true, value: undefined });
      },
      [Symbol.asyncIterator]() {
        return this;
      },
    };
  }

  /** Calls `listener` with each event as it comes, instead of iterating. */
  listen(listener: (event: RunEvent) => void): void {
    this.#outbox.listen(listener);
  }

  /**
   * Waits for the answer. Rejects with what the streams of its responses reject with, with RunLimitError, with
   * RunToolError if tools' errors are raised, and with AbortedError.
   */
  final(): Promise<RunResult<Parsed>> {
    this.#outbox.await();
    return this.#result;
  }

  /** Ends it, unless it has ended. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#abort(new AbortedError());
  }

  async #start(signal: AbortSignal | undefined): Promise<RunResult<Parsed>> {
    const onAbort = () => this.#abort(new AbortedError(signal?.reason));
    signal?.addEventListener("abort", onAbort);
    if (signal?.aborted) onAbort();
    try {
      const { response, ...final } = await this.#unlessAborted(this.#turns.toAnswer());
      const { usage, ...progress } = this.#turns.progress();
      this.#outbox.finish({ kind: "done" });
      return { ...final, ...progress, usage, response } as RunResult<Parsed>;
    } catch (error) {
      this.#outbox.finish({ kind: "failed", error });
      // Tools that still run hear of it.
      this.#controller.abort(error);
      throw error;
    } finally {
      this.#ended = true;
      signal?.removeEventListener("abort", onAbort);
    }
  }

  /** Whatever it waits for, an abort comes first. */
  #unlessAborted<T>(work: Promise<T>): Promise<T> {
    const { signal } = this.#controller;
    return new Promise((resolve, reject) => {
      const onAbort = () => reject(signal.reason);
      signal.addEventListener("abort", onAbort);
      if (signal.aborted) onAbort();
      work.then(resolve, reject);
    });
  }

  #abort(error: AbortedError): void {
    if (!this.#ended) this.#controller.abort(error);
  }
}

function limitsOf(options: RunOptions) {
  return {
    turnsMax: countOf(options.turnsMax ?? turnsMaxDefault, "turnsMax"),
    toolCallsMax: countOf(options.toolCallsMax ?? toolCallsMaxDefault, "toolCallsMax"),
    toolTimeoutMs: timeOf(options.toolTimeoutMs ?? toolTimeoutMsDefault, "toolTimeoutMs"),
    parallelToolsMax: countOf(
      options.parallelToolsMax ?? parallelToolsMaxDefault,
      "parallelToolsMax",
    ),
    toolErrors: options.toolErrors ?? "answer",
  };
}

function countOf(value: number, param: string): number {
  if (value === Number.POSITIVE_INFINITY || (Number.isInteger(value) && value >= 1)) return value;
  throw new DefinitionError(`${param} must be a whole number from 1 on, or Infinity.`, param);
}

function timeOf(value: number, param: string): number {
  if (value > 0) return value;
  throw new DefinitionError(`${param} must be a number of ms above 0.`, param);
}

function runnable(tools: readonly (RunnableFunction | RunnableCustom)[]): RunnableTool[] {
  return tools.map((tool, index) => {
    const param = `tools[${index}]`;
    if (typeof tool.execute !== "function") {
      const problem = `${param}.execute: ${tool.name} needs a function that runs it.`;
      throw new DefinitionError(problem, `${param}.execute`);
    }
    if (tool.timeoutMs !== undefined) timeOf(tool.timeoutMs, `${param}.timeoutMs`);
    return tool as RunnableTool;
  });
}
