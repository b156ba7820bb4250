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
  type RespondOptions,
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
  isClientError,
  ProtocolError,
  RequestError,
  ResponseFailedError,
  ResponseLostError,
  SequenceGapError,
} from "./errors.js";
export type { ReconnectedInfo, ReconnectingInfo, ReconnectOptions } from "./link.js";
export { type FinalResponse, outputText, type ResponseStream } from "./stream.js";
