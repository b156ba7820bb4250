/**
 * The turns of a run: asks, has the calls of the answer run, and asks again with their outputs, until there are
 * none. Owns the history. Each turn sends all of it, so that a run needs nothing that the server keeps.
 */
import type { ResponseObject, ResponseStreamEvent, ResponseUsage } from "../protocol/index.js";
import { isTerminal } from "./channel.js";
import type { ResponseRequest } from "./requests.js";
import {
  type InputItem,
  type RunEvent,
  RunLimitError,
  type RunProgress,
  RunToolError,
  type ToolOutcome,
} from "./run-progress.js";
import type { ToolRunner } from "./run-tools.js";
import type { FinalResponse } from "./stream.js";

/** One response on its way. */
export interface Answering extends AsyncIterable<ResponseStreamEvent> {
  final(): Promise<FinalResponse>;
}

export interface TurnsOptions {
  /** Of the first turn. */
  body: ResponseRequest;
  turnsMax: number;
  toolCallsMax: number;
  /** `raise`: a tool that fails ends the run. Else the model is told. */
  toolErrors: "answer" | "raise";
  runner: ToolRunner;
  ask(body: ResponseRequest): Answering;
  emit(event: RunEvent): Promise<void>;
}

export class Turns {
  readonly #options: TurnsOptions;
  readonly #history: InputItem[];
  readonly #outcomes: ToolOutcome[] = [];
  #turns = 0;
  #usage: ResponseUsage | null = null;
  #response: ResponseObject | null = null;

  constructor(options: TurnsOptions) {
    const { input } = options.body;
    this.#options = options;
    this.#history = typeof input === "string" ? [{ role: "user", content: input }] : [...input];
  }

  progress(): RunProgress {
    return {
      turns: this.#turns,
      toolCalls: [...this.#outcomes],
      history: [...this.#history],
      usage: this.#usage,
      response: this.#response,
    };
  }

  /** The last turn's answer: without calls, or cut short by the token limit. */
  async toAnswer(): Promise<FinalResponse> {
    for (;;) {
      const final = await this.#ask();
      const { response, calls } = final;
      if (response.status !== "completed" || calls.length === 0) {
        this.#history.push(...response.output.filter((item) => !isCall(item)));
        return final;
      }
      this.#checkLimits(calls.length);
      const outcomes = await this.#options.runner.runAll(calls, this.#turns, this.#onEnded);
      this.#history.push(...response.output, ...outcomes.map(outputItem));
    }
  }

  async #ask(): Promise<FinalResponse> {
    const { ask, emit, body } = this.#options;
    const turn = this.#turns + 1;
    await emit({ type: "run.turn.started", turn });
    const stream = ask({ ...(turn === 1 ? body : unforced(body)), input: [...this.#history] });
    for await (const event of stream) {
      await emit(event);
      if (isTerminal(event)) this.#ended(event.response);
    }
    return stream.final();
  }

  #ended(response: ResponseObject): void {
    this.#turns += 1;
    this.#response = response;
    this.#usage = sum(this.#usage, response.usage);
  }

  #checkLimits(calls: number): void {
    const { turnsMax, toolCallsMax } = this.#options;
    if (this.#turns >= turnsMax) throw new RunLimitError("turnsMax", turnsMax, this.progress());
    if (this.#outcomes.length + calls <= toolCallsMax) return;
    throw new RunLimitError("toolCallsMax", toolCallsMax, this.progress());
  }

  readonly #onEnded = async (outcome: ToolOutcome): Promise<void> => {
    const { turn, error } = outcome;
    this.#outcomes.push(outcome);
    await this.#options.emit({ type: "run.tool.ended", turn, outcome });
    if (error === undefined || this.#options.toolErrors !== "raise" || isModels(error.code)) return;
    throw new RunToolError(error, this.progress());
  };
}

/** What the model did wrong, it can do better. */
function isModels(code: string): boolean {
  return code === "unknown_tool" || code === "invalid_arguments";
}

function isCall({ type }: ResponseObject["output"][number]): boolean {
  return type === "function_call" || type === "custom_tool_call";
}

function outputItem({ call, output }: ToolOutcome): InputItem {
  const type = call.type === "function_call" ? "function_call_output" : "custom_tool_call_output";
  return { type, call_id: call.call_id, output };
}

/** A call that is forced once has been made: forced in every turn, there would be no end. */
function unforced(body: ResponseRequest): ResponseRequest {
  const { tool_choice: choice } = body;
  if (choice == null || choice === "none" || choice === "auto") return body;
  if (typeof choice === "object" && choice.type === "allowed_tools")
    return { ...body, tool_choice: { ...choice, mode: "auto" } };
  return { ...body, tool_choice: "auto" };
}

function sum(before: ResponseUsage | null, usage: ResponseUsage | null): ResponseUsage | null {
  if (before === null || usage === null) return usage ?? before;
  const { input_tokens_details: input, output_tokens_details: output } = before;
  const { input_tokens_details: moreInput, output_tokens_details: moreOutput } = usage;
  return {
    input_tokens: before.input_tokens + usage.input_tokens,
    input_tokens_details: added(input, moreInput),
    output_tokens: before.output_tokens + usage.output_tokens,
    output_tokens_details: added(output, moreOutput),
    total_tokens: before.total_tokens + usage.total_tokens,
  };
}

/** Other servers leave details out, or have more. */
function added<T extends object>(one: T, other: T): T {
  const entries = Object.entries({ ...one, ...other }).map(([name]) => {
    const [a, b] = [one, other].map((side) => (side as Record<string, number>)[name] ?? 0);
    return [name, a! + b!];
  });
  return Object.fromEntries(entries) as T;
}
