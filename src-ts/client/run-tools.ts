/**
 * Runs the calls of one answer, several at once, each within its time, each once. Whatever goes wrong with one is
 * its outcome. Knows no turns and no server.
 */
import type { ClientPorts } from "./ports.js";
import { type RunEvent, ToolError, type ToolOutcome } from "./run-progress.js";
import type { ToolCall } from "./stream.js";
import {
  argumentsOf,
  type RunnableCustom,
  type RunnableFunction,
  type ToolContext,
} from "./tools.js";

export type RunnableTool = RunnableFunction<never> | RunnableCustom;

export interface ToolRunnerOptions {
  tools: readonly RunnableTool[];
  toolTimeoutMs: number;
  parallelToolsMax: number;
  after: ClientPorts["after"];
  /** Ends all. */
  signal: AbortSignal;
  emit(event: RunEvent): Promise<void>;
}

/** So many names are told to a model that has called another. */
const namesToldMax = 64;

export class ToolRunner {
  readonly #options: ToolRunnerOptions;
  readonly #tools: Map<string, RunnableTool>;
  /** By the id of the call: the same call is never made twice. */
  readonly #outcomes = new Map<string, Promise<ToolOutcome>>();

  constructor(options: ToolRunnerOptions) {
    this.#options = options;
    this.#tools = new Map(options.tools.map((tool) => [tool.name, tool]));
  }

  /** In the order of the calls. `onEnded` sees each as it ends. */
  async runAll(
    calls: readonly ToolCall[],
    turn: number,
    onEnded: (outcome: ToolOutcome) => Promise<void>,
  ): Promise<ToolOutcome[]> {
    const outcomes: ToolOutcome[] = [];
    const waiting = [...calls.entries()];
    const work = async (): Promise<void> => {
      for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
        this.#options.signal.throwIfAborted();
        const [index, call] = next;
        const isFirst = !this.#outcomes.has(call.call_id);
        const outcome = await this.#once(call, turn);
        outcomes[index] = outcome;
        if (isFirst) await onEnded(outcome);
      }
    };
    const workers = Math.min(this.#options.parallelToolsMax, calls.length);
    await Promise.all(Array.from({ length: workers }, work));
    return outcomes;
  }

  #once(call: ToolCall, turn: number): Promise<ToolOutcome> {
    const known = this.#outcomes.get(call.call_id);
    if (known !== undefined) return known;
    const outcome = this.#run(call, turn);
    this.#outcomes.set(call.call_id, outcome);
    return outcome;
  }

  async #run(call: ToolCall, turn: number): Promise<ToolOutcome> {
    await this.#options.emit({ type: "run.tool.started", turn, call });
    try {
      return { call, turn, output: outputOf(await this.#output(call, turn), call) };
    } catch (error) {
      if (!(error instanceof ToolError)) throw error;
      return { call, turn, output: `Error: ${error.message}`, error };
    }
  }

  /** Rejects with ToolError, or with the signal's reason. */
  async #output(call: ToolCall, turn: number): Promise<unknown> {
    const tool = this.#tools.get(call.name);
    const isThere = tool !== undefined && call.namespace === undefined && fits(tool, call);
    if (!isThere) throw new ToolError("unknown_tool", this.#unknown(call), call);
    const args = await argumentsFor(tool, call);
    return this.#timed(call, tool.timeoutMs ?? this.#options.toolTimeoutMs, (signal) => {
      const context: ToolContext = { signal, callId: call.call_id, turn };
      return (tool.execute as (args: unknown, context: ToolContext) => unknown)(args, context);
    });
  }

  #unknown({ name }: ToolCall): string {
    const names = [...this.#tools.keys()].slice(0, namesToldMax);
    return `There is no tool named ${name}. The tools are: ${names.join(", ")}.`;
  }

  /** Does not wait for a tool that doesn't mind its signal. */
  #timed(
    call: ToolCall,
    timeoutMs: number,
    execute: (signal: AbortSignal) => unknown,
  ): Promise<unknown> {
    const { signal, after } = this.#options;
    return new Promise((resolve, reject) => {
      signal.throwIfAborted();
      const controller = new AbortController();
      const end = (reason: unknown) => {
        reject(reason);
        controller.abort(reason);
      };
      const onAbort = () => end(signal.reason);
      signal.addEventListener("abort", onAbort);
      const problem = `The tool ${call.name} did not end within ${timeoutMs} ms.`;
      const timer = Number.isFinite(timeoutMs)
        ? after(timeoutMs, () => end(new ToolError("tool_timeout", problem, call)))
        : undefined;
      const done = () => {
        timer?.cancel();
        signal.removeEventListener("abort", onAbort);
      };
      controller.signal.addEventListener("abort", done);
      settled(() => execute(controller.signal))
        .then(resolve, (cause) => reject(failure(call, cause)))
        .finally(done);
    });
  }
}

async function settled(execute: () => unknown): Promise<unknown> {
  return execute();
}

function fits(tool: RunnableTool, call: ToolCall): boolean {
  return (tool.type === "custom") === (call.type === "custom_tool_call");
}

async function argumentsFor(tool: RunnableTool, call: ToolCall): Promise<unknown> {
  if (call.type === "custom_tool_call") return call.input;
  try {
    return await argumentsOf(tool as RunnableFunction, call);
  } catch (cause) {
    throw new ToolError("invalid_arguments", `${messageOf(cause)}.`, call, cause);
  }
}

function failure(call: ToolCall, cause: unknown): ToolError {
  return new ToolError(
    "tool_failed",
    `The tool ${call.name} failed: ${messageOf(cause)}`,
    call,
    cause,
  );
}

/** Errors of other realms and languages are no `Error` here, and have a message all the same. */
function messageOf(cause: unknown): string {
  const { message } = (cause ?? {}) as { message?: unknown };
  return typeof message === "string" ? message : String(cause);
}

function outputOf(value: unknown, call: ToolCall): string {
  if (typeof value === "string") return value;
  try {
    return JSON.stringify(value) ?? "";
  } catch (cause) {
    const problem = `The output of ${call.name} has no JSON form: ${messageOf(cause)}`;
    throw new ToolError("invalid_tool_output", problem, call, cause);
  }
}
