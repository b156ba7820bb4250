/**
 * `mlx-serving/client`: the WebSocket client, for Node and browsers.
 *
 * @packageDocumentation
 */
export type * from "../protocol/index.js";
export {
  type Client,
  type ClientEvents,
  type ConnectOptions,
  connect,
  type ResumeOptions,
} from "./client.js";
export type { Address, ConnectionOptions } from "./connection.js";
export {
  AbortedError,
  ClientClosedError,
  ClientError,
  type CloseInfo,
  ConnectError,
  ConnectionLostError,
  ConsumerTooSlowError,
  DefinitionError,
  InvalidArgumentsError,
  InvalidOutputError,
  isClientError,
  ProtocolError,
  RequestError,
  ResponseFailedError,
  ResponseLostError,
  type SchemaIssue,
  SequenceGapError,
} from "./errors.js";
export type { Format, ParsedOf, SchemaFormat } from "./formats.js";
export type { ReconnectedInfo, ReconnectingInfo, ReconnectOptions } from "./link.js";
export type { RespondOptions, ResponseRequest } from "./requests.js";
export type { Run, RunOptions, RunRequest } from "./run.js";
export {
  type InputItem,
  type RunEvent,
  type RunLimit,
  RunLimitError,
  type RunProgress,
  type RunResult,
  RunToolError,
  ToolError,
  type ToolErrorCode,
  type ToolOutcome,
} from "./run-progress.js";
export type { JsonSchema, OutputOf, Schema, StandardSchema } from "./schemas.js";
export {
  type FinalResponse,
  outputText,
  type ResponseStream,
  reasoningText,
  type ToolCall,
  toolCalls,
} from "./stream.js";
export {
  type ArgumentsOf,
  argumentsOf,
  type CustomDefinition,
  type Execute,
  type FunctionDefinition,
  type HostedDefinition,
  type NamespaceDefinition,
  type RunnableCustom,
  type RunnableFunction,
  type ToolContext,
  type ToolDefinition,
  tool,
} from "./tools.js";
