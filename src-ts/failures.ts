/**
 * Every failure that a client may see: its code, its status, its words, and when to try again. One place,
 * so that every API and every transport says the same. docs/PROTOCOL.md has the same codes.
 */
import { type ErrorOptions, ServingError } from "./errors.js";
import { didYouMean } from "./nearest.js";

interface Row {
  status: number;
  /** Where several rows have one code. */
  code?: string;
  /** Seconds, where trying again may help. */
  retryAfterS?: number;
  /** A sentence, or what makes one of `Values`. None: it depends on the field, and whoever checks it says it. */
  // biome-ignore lint/suspicious/noExplicitAny: each row has values of its own; `failure` checks them.
  words?: string | ((values: any) => string);
}

/** Where a row says nothing else. */
const soonS = 1;

/** Where nothing like the route is known. */
const apiHint = "Routes of the API begin with /v1; GET /openapi.json has them all.";

export const failures = {
  // The request is wrong.
  invalid_http: { status: 400, words: "This is not a valid HTTP request." },
  invalid_url: { status: 400, words: "The path is not a valid URL." },
  invalid_json: { status: 400 },
  invalid_unicode: { status: 400 },
  invalid_encoding: { status: 400 },
  invalid_type: { status: 400 },
  invalid_value: { status: 400 },
  missing_parameter: {
    status: 400,
    code: "invalid_type",
    words: ({ param }: { param: string }) => `${param} is required.`,
  },
  unknown_parameter: {
    status: 400,
    words: ({ param, known = [] }: { param: string; known?: readonly string[] }) =>
      `Unknown parameter: ${param}.${didYouMean(param, known)}`,
  },
  unsupported_parameter: { status: 400 },
  priority_not_allowed: {
    status: 400,
    code: "unsupported_parameter",
    words:
      "This key may not ask for a priority as high as this, and the server is strict (--strict).",
  },
  invalid_header: { status: 400 },
  invalid_upgrade: { status: 400 },
  invalid_message: { status: 400, words: "Messages are text frames, not binary ones." },
  unknown_event_type: { status: 400 },
  invalid_cursor: {
    status: 400,
    words: ({ last }: { last: number }) =>
      `starting_after must be between -1 and ${last}, the last event so far.`,
  },
  websocket_connection_limit_reached: {
    status: 400,
    words: "This connection has come to its end: the server restarts. Open another one.",
  },
  previous_response_not_found: {
    status: 400,
    words:
      "There is no response of this id to go on from: send the whole input without previous_response_id.",
  },
  previous_response_in_progress: {
    status: 400,
    words: ({ id }: { id: string }) =>
      `Response ${id} has not ended: wait for its end, or cancel it, and go on from it then.`,
  },
  previous_response_failed: {
    status: 400,
    words: ({ id }: { id: string }) =>
      `Response ${id} has failed: go on from the one before it, with its input once more.`,
  },
  invalid_prompt: { status: 400, words: "The prompt could not be rendered." },
  invalid_request: { status: 400, words: "A worker could not read this request." },
  context_length_exceeded: {
    status: 400,
    words: "The prompt is longer than the model's context.",
  },
  memory_budget_exceeded: {
    status: 400,
    words: "The request needs more memory than any worker has.",
  },
  model_makes_no_text: {
    status: 400,
    words: ({ id }: { id: string }) =>
      `Model ${id} is an embedding model, and makes no text; use POST /v1/embeddings.`,
  },
  model_has_no_vectors: {
    status: 400,
    words: ({ id }: { id: string }) =>
      `Model ${id} has no states that a vector could be made of; serve an embedding model.`,
  },
  upgrade_required: { status: 426 },
  method_not_allowed: {
    status: 405,
    words: ({ allowed }: { allowed: string }) => `This route takes ${allowed}.`,
  },
  request_timeout: { status: 408, words: "The request did not arrive in time." },
  request_too_large: { status: 413, words: "The request is larger than this server takes." },
  unsupported_media_type: {
    status: 415,
    words: "The body must be JSON: send Content-Type: application/json.",
  },
  unsupported_encoding: { status: 415 },
  headers_too_large: { status: 431, words: "The headers are larger than this server takes." },

  // Who asks may not, or asks for what isn't there.
  missing_api_key: {
    status: 401,
    words: "This server needs a key: send Authorization: Bearer <key>, or x-api-key: <key>.",
  },
  invalid_api_key: { status: 401, words: "This key is not known." },
  expired_api_key: { status: 401, words: "This key has expired." },
  invalid_ticket: {
    status: 401,
    words: "This ticket is unknown, used or expired: ask for a new one.",
  },
  session_expired: {
    status: 401,
    words: "This session has ended, or is not known: open one with a key.",
  },
  no_key_given: {
    status: 400,
    words: "A session is opened with a key, and this request came with none that is needed here.",
  },
  no_process: { status: 409, words: "This worker has no process now." },
  too_many_viewers: {
    status: 503,
    retryAfterS: soonS,
    words: "So many follow the live view already that there is no room for one more.",
  },
  host_not_allowed: {
    status: 403,
    words: "The Host header names no host of this server; see --allowed-hosts.",
  },
  origin_not_allowed: {
    status: 403,
    words: "This origin may not use this server; see --allowed-origins.",
  },
  model_not_allowed: {
    status: 403,
    words: ({ models }: { models: readonly string[] }) =>
      `This key may not use this model; it may use ${models.join(", ")}.`,
  },
  admin_not_allowed: {
    status: 403,
    words: ({ area }: { area: string }) =>
      `This key may not use /${area}: its line in the key file lacks admin=${area === "metrics" ? "metrics, or admin=yes" : "yes"}.`,
  },
  unknown_route: {
    status: 404,
    words: ({ route, hint = apiHint }: { route: string; hint?: string | undefined }) =>
      `There is no such route: ${route}. ${hint}`,
  },
  model_not_found: {
    status: 404,
    words: ({ id, known }: { id: string; known: readonly string[] }) =>
      `Model "${id}" is not served here; there is ${known.join(", ")}.${didYouMean(id, known)}`,
  },
  response_not_found: {
    status: 404,
    words: ({ id }: { id: string }) => `There is no response ${id}.`,
  },
  input_items_not_found: {
    status: 404,
    words: ({ id }: { id: string }) =>
      `Response ${id} is there without its input: the version that stored it kept none.`,
  },
  request_not_found: {
    status: 404,
    words: "There is no such request, or it ended too long ago to be remembered.",
  },
  worker_not_found: { status: 404, words: "There is no such worker; see GET /admin/workers." },
  idempotency_conflict: {
    status: 409,
    words: "Idempotency-Key was used already with another body.",
  },

  // Too much at once.
  rate_limit_exceeded: { status: 429, retryAfterS: soonS },
  concurrency_limit_exceeded: { status: 429, retryAfterS: soonS },
  insufficient_quota: { status: 429, retryAfterS: soonS },
  queue_full: {
    status: 429,
    retryAfterS: soonS,
    words: ({ queueMax }: { queueMax: number }) =>
      `The queue is full: ${queueMax} requests are waiting (--max-queue).`,
  },
  too_many_bytes: {
    status: 429,
    retryAfterS: soonS,
    words: ({ bytes }: { bytes: number }) => fullOf("This client's requests", bytes),
  },
  too_many_bytes_in_all: {
    status: 503,
    code: "too_many_bytes",
    retryAfterS: soonS,
    words: ({ bytes }: { bytes: number }) => fullOf("All requests", bytes),
  },
  too_many_tickets: { status: 429, retryAfterS: soonS },
  websocket_stream_limit_reached: {
    status: 429,
    retryAfterS: soonS,
    words: ({ lanes }: { lanes: number }) => `This socket has ${lanes} busy lanes already.`,
  },
  lane_full: {
    status: 429,
    retryAfterS: soonS,
    words: ({ queued }: { queued: number }) => `${queued} messages wait in this lane already.`,
  },
  socket_full: {
    status: 429,
    retryAfterS: soonS,
    words: ({ requests }: { requests: number }) => `This socket has ${requests} requests already.`,
  },
  too_many_sockets: {
    status: 503,
    retryAfterS: 5,
    words: ({ sockets }: { sockets: number }) => `The server has ${sockets} sockets already.`,
  },
  consumer_too_slow: {
    status: 503,
    retryAfterS: soonS,
    words: "This reader is too slow; the response goes on and can be resumed.",
  },

  // Its time is over.
  cancelled: { status: 499, words: "The request was cancelled." },
  deadline_exceeded: {
    status: 504,
    words: "The request's deadline passed before the answer was complete.",
  },

  // The server can't, or not now.
  internal_error: {
    status: 500,
    words: "Something went wrong inside the server; its log says what.",
  },
  worker_crashed: {
    status: 500,
    words: "The worker died three times while it ran this request.",
  },
  generation_error: { status: 500, words: "The model failed on this request." },
  out_of_memory: {
    status: 503,
    retryAfterS: soonS,
    words: "There was not enough memory for this request.",
  },
  server_draining: {
    status: 503,
    retryAfterS: soonS,
    words: "The server is draining and takes nothing new.",
  },
  server_shutdown: { status: 503, retryAfterS: soonS, words: "The server is shutting down." },
  not_ready: {
    status: 503,
    retryAfterS: soonS,
    words: ({ reason }: { reason: string }) => `Not ready: ${reason}.`,
  },
  no_worker: {
    status: 503,
    retryAfterS: 30,
    words: ({ reason }: { reason: string }) => `No worker can take this request: ${reason}.`,
  },
  storage_unavailable: {
    status: 503,
    retryAfterS: soonS,
    words: ({ why = "their log can't be written" }: { why?: string }) =>
      `Responses can't be stored now: ${why} (--data-dir); send store: false, or try again.`,
  },
  model_unavailable: {
    status: 503,
    retryAfterS: soonS,
    words: "The server was restarted without this response's model.",
  },
  closed: { status: 503, retryAfterS: soonS, words: "The engine was closed." },
} as const satisfies Record<string, Row>;

function fullOf(whose: string, bytes: number): string {
  const count = bytes.toLocaleString("en");
  return `${whose} in work have ${count} bytes, as many as it takes at once; try again when some have begun.`;
}

/** A row's name; it is the code where the row has none. */
export type FailureCode = keyof typeof failures;

type WordsOf<C extends FailureCode> = (typeof failures)[C] extends { words: infer W } ? W : never;

/** What the words of a row need; where it has none, the whole message. */
type ValuesOf<C extends FailureCode> = [WordsOf<C>] extends [never]
  ? { message: string }
  : WordsOf<C> extends (values: infer V) => string
    ? V | { message: string }
    : { message?: string };

type Blame = Pick<ErrorOptions, "param" | "cause" | "retryAfterS">;
type Details<C extends FailureCode> = ValuesOf<C> & Omit<Blame, keyof ValuesOf<C>>;

/**
 * The error of a row. `details`: what its words need, the field to blame, the cause; `message` and
 * `retryAfterS` in place of the row's where more is known.
 */
export function failure<C extends FailureCode>(
  name: C,
  ...[details]: object extends Details<C> ? [details?: Details<C>] : [details: Details<C>]
): ServingError {
  const row: Row = failures[name];
  const {
    message,
    param,
    cause,
    retryAfterS = row.retryAfterS,
  } = (details ?? {}) as {
    message?: string;
  } & Blame;
  return new ServingError(message ?? wordsOf(row, details), {
    code: row.code ?? name,
    status: row.status,
    param: param ?? null,
    cause,
    ...(retryAfterS !== undefined && { retryAfterS }),
  });
}

function wordsOf({ words }: Row, values: object | undefined): string {
  if (typeof words === "function") return words(values ?? {});
  if (words === undefined) throw new TypeError("a failure without words");
  return words;
}

/** Of a code that may be a stored response's, from another version: a fault of the server's own. */
export function statusOf(code: string): number {
  return Object.hasOwn(failures, code) ? failures[code as FailureCode].status : 500;
}

/** For `Retry-After`; undefined where trying again is no use. */
export function retryAfterOf({ status, retryAfterS }: ServingError): number | undefined {
  return status === 429 || status === 503 ? (retryAfterS ?? soonS) : undefined;
}
