/**
 * What is put under load: something that takes a prompt and says what came back, and when. Times
 * are milliseconds of the process's monotonic clock (`performance.now()`).
 */

/** Which protocol a target speaks. */
export const apis = ["chat", "responses", "websocket"] as const;
export type Api = (typeof apis)[number];

/** Tokens as the server counts them. */
export interface TokenUsage {
  promptTokens: number;
  cachedTokens: number;
  completionTokens: number;
}

/** One request, from its sending to its end. */
export interface RequestRecord {
  startedAt: number;
  endedAt: number;
  /** When each event with text arrived; the first is the time to the first token. */
  arrivals: number[];
  /** What each of them brought, if that was asked for. */
  texts: string[] | undefined;
  /** Undefined where the server sent none: then none of its tokens are counted. */
  usage: TokenUsage | undefined;
  /** What went wrong, in one word: `http_429`, `timeout`, `connection`, `incomplete`, `aborted`, an error code. */
  failure: string | undefined;
}

/** A turn of a conversation. */
export interface Message {
  role: "system" | "user" | "assistant";
  content: string;
}

export interface RequestBody {
  /** What the user says, or a conversation that ends with it. */
  prompt: string | Message[];
  maxTokens: number;
  /** Ends the request; its record then has the failure `aborted`. */
  signal?: AbortSignal | undefined;
}

export interface Target {
  /** Opens what is kept open. Rejects if the server can't be reached. */
  open(): Promise<void>;
  /** Runs one request; never rejects, failures are in the record. */
  run(request: RequestBody): Promise<RequestRecord>;
  close(): Promise<void>;
}

export interface TargetOptions {
  /** Base URL: `http://host:port`, with or without `/v1`. */
  url: string;
  api: Api;
  model: string | undefined;
  apiKey: string | undefined;
  /** Fields that are added to every request body. */
  extraBody: Record<string, unknown>;
  /** WebSocket only: over how many sockets the streams are spread. */
  sockets: number;
  timeoutMs: number;
  /** Whether records keep the texts of their events. */
  keepTexts: boolean;
}

export function startRecord({ keepTexts }: Pick<TargetOptions, "keepTexts">): RequestRecord {
  return {
    startedAt: performance.now(),
    endedAt: 0,
    arrivals: [],
    texts: keepTexts ? [] : undefined,
    usage: undefined,
    failure: undefined,
  };
}

/** An event with text has come. */
export function noteText(record: RequestRecord, text: string): void {
  record.arrivals.push(performance.now());
  record.texts?.push(text);
}

/** Base URL with `/v1` exactly once at its end. */
export function v1Url(url: string): string {
  const trimmed = url.replace(/\/+$/, "");
  return trimmed.endsWith("/v1") ? trimmed : `${trimmed}/v1`;
}
