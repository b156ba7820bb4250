/**
 * Every error that the client throws: one base class, one subclass per thing that can go wrong.
 * Tell them apart by class or by `code`; codes are stable.
 */
import type { ErrorEvent, ResponseObject } from "../protocol/index.js";

export interface ClientErrorOptions {
  code: string;
  /** HTTP status, where the server gave one. */
  status?: number | undefined;
  /** The field of the request that is to blame. */
  param?: string | null | undefined;
  cause?: unknown;
}

/** In the global registry: two copies of this library know each other's errors by it. */
const brand = Symbol.for("mlx-serving.ClientError");

/** Base of all errors of this library. */
export class ClientError extends Error {
  override name = "ClientError";
  /** @internal */
  readonly [brand] = true;
  readonly code: string;
  readonly status: number | undefined;
  readonly param: string | null;

  constructor(message: string, options: ClientErrorOptions) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = options.code;
    this.status = options.status;
    this.param = options.param ?? null;
  }
}

/** True for every error of this library, also when two copies of it are loaded. */
export function isClientError(value: unknown): value is ClientError {
  return typeof value === "object" && value !== null && brand in value;
}

/**
 * The connection could not be opened. `code`: `connection_refused`, `handshake_refused` (then
 * `status` says why: 401 and 403 for key and origin, 503 when the server takes no more sockets),
 * `connect_timeout`, `no_ticket` or `invalid_url`.
 */
export class ConnectError extends ClientError {
  override name = "ConnectError";
  /** When the server would like to be asked again, in ms; undefined where it did not say. */
  readonly retryAfterMs: number | undefined;

  constructor(
    message: string,
    { retryAfterMs, ...options }: ClientErrorOptions & { retryAfterMs?: number | undefined },
  ) {
    super(message, options);
    this.retryAfterMs = retryAfterMs;
  }
}

/** What a closed socket said. */
export interface CloseInfo {
  /** WebSocket close code; 1006 when the connection broke without one. */
  closeCode: number;
  reason: string;
}

/**
 * The connection is gone for good: code `connection_lost`. Nothing was tried (`reconnect: false`, or a
 * close code that says so), or all that was tried has failed; `cause` is the last reason. Responses go on
 * at the server for its resume grace: `client.resume(stream.responseId, { startingAfter: stream.cursor })`
 * on a new connection.
 */
export class ConnectionLostError extends ClientError {
  override name = "ConnectionLostError";
  readonly closeCode: number;
  readonly reason: string;

  constructor({ closeCode, reason }: CloseInfo, cause?: unknown, attempts = 0) {
    const why = reason === "" ? "" : `: ${reason}`;
    const tried = attempts === 0 ? "" : `, and could not be opened again (attempts: ${attempts})`;
    const message = `The connection closed with ${closeCode}${why}${tried}`;
    super(message, { code: "connection_lost", cause });
    this.closeCode = closeCode;
    this.reason = reason;
  }
}

/** `client.close()` was called: code `client_closed`. */
export class ClientClosedError extends ClientError {
  override name = "ClientClosedError";

  constructor() {
    super("The client is closed", { code: "client_closed" });
  }
}

/** The server refused a message; `code`, `status` and `param` are the server's. */
export class RequestError extends ClientError {
  override name = "RequestError";

  static of(event: ErrorEvent): RequestError {
    const { code, message, param, type } = event.error;
    return new RequestError(message, { code: code ?? type, status: event.status, param });
  }
}

/**
 * The connection is back, but the server doesn't have the response any more: code `response_lost`; `cause`
 * is what the server said. It was restarted without keeping its responses, or has forgotten this one.
 */
export class ResponseLostError extends ClientError {
  override name = "ResponseLostError";
  readonly responseId: string;

  constructor(responseId: string, cause: RequestError) {
    const { status, param } = cause;
    const message = `The server can't go on with response ${responseId}: ${cause.message}`;
    super(message, { code: "response_lost", status, param, cause });
    this.responseId = responseId;
  }
}

/** The response ended with `response.failed`; `code` is the server's, such as `deadline_exceeded`. */
export class ResponseFailedError extends ClientError {
  override name = "ResponseFailedError";
  readonly response: ResponseObject;

  constructor(response: ResponseObject) {
    const { code, message } = response.error ?? { code: "failed", message: "The response failed" };
    super(message, { code });
    this.response = response;
  }
}

/** The signal was aborted, or the stream cancelled while someone waited for it: code `aborted`. */
export class AbortedError extends ClientError {
  /** The name that `fetch` and others use, so that one check catches all. */
  override name = "AbortError";

  constructor(cause?: unknown) {
    super("The response was cancelled by this client", { code: "aborted", cause });
  }
}

/** Events of a response are missing: code `sequence_gap`. Resume from the stream's cursor. */
export class SequenceGapError extends ClientError {
  override name = "SequenceGapError";
  readonly expected: number;
  readonly received: number;

  constructor(expected: number, received: number) {
    super(`Event ${expected} is missing: ${received} came instead`, { code: "sequence_gap" });
    this.expected = expected;
    this.received = received;
  }
}

/** More events waited for the reader than it may leave: code `consumer_too_slow`. Resume from the cursor. */
export class ConsumerTooSlowError extends ClientError {
  override name = "ConsumerTooSlowError";

  constructor(bufferedEventsMax: number) {
    super(`More than ${bufferedEventsMax} events were waiting to be read`, {
      code: "consumer_too_slow",
    });
  }
}

/** The server sent what the protocol doesn't have: code `protocol_error`. */
export class ProtocolError extends ClientError {
  override name = "ProtocolError";

  constructor(message: string, cause?: unknown) {
    super(message, { code: "protocol_error", cause });
  }
}

/** What is wrong with a value, and where. */
export interface SchemaIssue {
  readonly message: string;
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}

const issuesToldMax = 10;

function issueText(issues: readonly SchemaIssue[]): string {
  const lines = issues.slice(0, issuesToldMax).map(({ message, path = [] }) => {
    const keys = path.map((step) => String(typeof step === "object" ? step.key : step));
    return keys.length === 0 ? message : `${keys.join(".")}: ${message}`;
  });
  return lines.join("; ");
}

/**
 * A tool, a format or an option is wrong, and nothing was sent: code `invalid_definition`; `param` is the field.
 * Thrown at once, by `respond` and `run` themselves.
 */
export class DefinitionError extends ClientError {
  override name = "DefinitionError";

  constructor(message: string, param: string, cause?: unknown) {
    super(message, { code: "invalid_definition", param, cause });
  }
}

/** The arguments of a call are not what its tool's schema lets through: code `invalid_arguments`. */
export class InvalidArgumentsError extends ClientError {
  override name = "InvalidArgumentsError";
  readonly toolName: string;
  readonly callId: string;
  readonly issues: readonly SchemaIssue[];

  constructor(toolName: string, callId: string, issues: readonly SchemaIssue[]) {
    super(`The arguments for ${toolName} are not valid: ${issueText(issues)}`, {
      code: "invalid_arguments",
    });
    this.toolName = toolName;
    this.callId = callId;
    this.issues = issues;
  }
}

/**
 * A complete answer is not what its format lets through: code `invalid_output`. A schema that checks more than its
 * JSON schema says (`refine`), a stop string in mid-answer, or a server that doesn't keep schemas.
 */
export class InvalidOutputError extends ClientError {
  override name = "InvalidOutputError";
  readonly text: string;
  readonly response: ResponseObject;
  readonly issues: readonly SchemaIssue[];

  constructor(text: string, response: ResponseObject, issues: readonly SchemaIssue[]) {
    super(`The answer is not what its format says: ${issueText(issues)}`, {
      code: "invalid_output",
    });
    this.text = text;
    this.response = response;
    this.issues = issues;
  }
}
