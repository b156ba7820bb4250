/** What a run has done so far, what it tells on its way, and how it can fail. */
import type {
  CreateResponseBody,
  ResponseObject,
  ResponseStreamEvent,
  ResponseUsage,
} from "../protocol/index.js";
import { ClientError } from "./errors.js";
import type { FinalResponse, ToolCall } from "./stream.js";

/** An item of a conversation, as a request has it. */
export type InputItem = Exclude<CreateResponseBody["input"], string>[number];

/** What became of a call. */
export interface ToolOutcome {
  call: ToolCall;
  /** Of the answer that called it, from 1. */
  turn: number;
  /** What the model is told. */
  output: string;
  /** Why there is no other output. */
  error?: ToolError | undefined;
}

export interface RunProgress {
  /** Answers that have ended. */
  turns: number;
  /** Calls that have an output, in the order in which they came to it. */
  toolCalls: ToolOutcome[];
  /**
   * The conversation as far as it is whole: the input, and every turn whose calls all have an output. The `input`
   * of a request that goes on from here.
   */
  history: InputItem[];
  /** Of all turns together; null before the first has ended. */
  usage: ResponseUsage | null;
  /** The last one that ended, null before the first. */
  response: ResponseObject | null;
}

/** A run that has come to an answer: `text`, `parsed`, `response` are the last turn's, `usage` is of all. */
export interface RunResult<Parsed = unknown>
  extends FinalResponse<Parsed>,
    Omit<RunProgress, "usage" | "response"> {}

/** The events of its responses, one response after another, and between them what it does by itself. */
export type RunEvent =
  | ResponseStreamEvent
  | { type: "run.turn.started"; turn: number }
  | { type: "run.tool.started"; turn: number; call: ToolCall }
  | { type: "run.tool.ended"; turn: number; outcome: ToolOutcome };

export type ToolErrorCode =
  | "unknown_tool"
  | "invalid_arguments"
  | "tool_failed"
  | "tool_timeout"
  | "invalid_tool_output";

/** A call that came to nothing; `cause` is what the tool threw. */
export class ToolError extends ClientError {
  override name = "ToolError";
  declare readonly code: ToolErrorCode;
  readonly call: ToolCall;

  constructor(code: ToolErrorCode, message: string, call: ToolCall, cause?: unknown) {
    super(message, { code, cause });
    this.call = call;
  }
}

/** A tool failed, and the run with it, as `toolErrors: "raise"` asks: the code of the ToolError, its `cause`. */
export class RunToolError extends ClientError {
  override name = "RunToolError";
  override readonly cause: ToolError;
  readonly partial: RunProgress;

  constructor(cause: ToolError, partial: RunProgress) {
    super(cause.message, { code: cause.code, cause });
    this.cause = cause;
    this.partial = partial;
  }
}

export type RunLimit = "turnsMax" | "toolCallsMax";

/** The model goes on calling: code `run_limit`. The calls of `partial.response` were not run. */
export class RunLimitError extends ClientError {
  override name = "RunLimitError";
  readonly limit: RunLimit;
  readonly partial: RunProgress;

  constructor(limit: RunLimit, max: number, partial: RunProgress) {
    const what = limit === "turnsMax" ? "turns" : "tool calls";
    super(`The run came to no answer within ${max} ${what}`, { code: "run_limit", param: limit });
    this.limit = limit;
    this.partial = partial;
  }
}
