/** Chat completions and responses over HTTP: server-sent events on connections that are kept alive. */
import * as http from "node:http";
import * as https from "node:https";
import type { Dialect } from "./dialect.js";
import { sseParser } from "./sse.js";
import {
  type RequestBody,
  type RequestRecord,
  startRecord,
  type Target,
  type TargetOptions,
  v1Url,
} from "./target.js";

/**
 * The server had closed a kept connection before it saw the request: that is its right, and sending
 * again is what every client does (https://nodejs.org/api/http.html#requestreusedsocket). A new
 * connection is not stale, so this comes to an end.
 */
function isStale(call: http.ClientRequest, error: NodeJS.ErrnoException): boolean {
  return call.reusedSocket && error.code === "ECONNRESET";
}

export class HttpTarget implements Target {
  readonly #url: URL;
  readonly #agent: http.Agent;
  readonly #dialect: Dialect;
  readonly #options: TargetOptions;

  constructor(dialect: Dialect, options: TargetOptions) {
    this.#url = new URL(v1Url(options.url) + dialect.path);
    this.#dialect = dialect;
    this.#options = options;
    const agentOptions = { keepAlive: true, maxSockets: Number.POSITIVE_INFINITY };
    const secure = this.#url.protocol === "https:";
    this.#agent = secure ? new https.Agent(agentOptions) : new http.Agent(agentOptions);
  }

  async open(): Promise<void> {}

  run(request: RequestBody): Promise<RequestRecord> {
    const { model, extraBody } = this.#options;
    const body = JSON.stringify({
      ...(model !== undefined && { model }),
      ...this.#dialect.body(request),
      ...extraBody,
    });
    const record = startRecord(this.#options);
    const { signal } = request;
    return new Promise((resolve) => {
      const settle = (failure?: string) => {
        if (record.endedAt !== 0) return;
        clearTimeout(timer);
        signal?.removeEventListener("abort", onAbort);
        record.endedAt = performance.now();
        record.failure ??= failure;
        resolve(record);
      };
      let call: http.ClientRequest | undefined;
      let answered = false;
      const send = () => {
        const sent = this.#request((answer) => {
          answered = true;
          this.#readAnswer(answer, record, settle);
        });
        // Of what was given up, the connection's end is no news.
        sent.on("error", (error) =>
          !answered && record.endedAt === 0 && isStale(sent, error) ? send() : settle("connection"),
        );
        sent.end(body);
        call = sent;
      };
      const giveUp = (failure: string) => {
        settle(failure);
        call?.destroy();
      };
      const onAbort = () => giveUp("aborted");
      const timer = setTimeout(() => giveUp("timeout"), this.#options.timeoutMs);
      signal?.addEventListener("abort", onAbort);
      if (signal?.aborted) onAbort();
      else send();
    });
  }

  async close(): Promise<void> {
    this.#agent.destroy();
  }

  #request(onAnswer: (answer: http.IncomingMessage) => void): http.ClientRequest {
    const { apiKey } = this.#options;
    const { request } = this.#url.protocol === "https:" ? https : http;
    const headers: Record<string, string> = {
      "content-type": "application/json",
      accept: "text/event-stream",
    };
    if (apiKey !== undefined) headers.authorization = `Bearer ${apiKey}`;
    return request(this.#url, { method: "POST", agent: this.#agent, headers }, onAnswer);
  }

  #readAnswer(
    answer: http.IncomingMessage,
    record: RequestRecord,
    settle: (failure?: string) => void,
  ): void {
    let complete = false;
    const parse = sseParser((data) => {
      if (data === "[DONE]") complete = true;
      else if (this.#readEvent(data, record)) complete = true;
    });
    answer.setEncoding("utf8");
    const { statusCode = 0 } = answer;
    if (statusCode !== 200) record.failure = `http_${statusCode}`;
    answer.on("data", (chunk: string) => {
      if (statusCode === 200) parse(chunk);
    });
    answer.on("error", () => settle("connection"));
    // The end of the body, not its last event: only then the connection is free for the next request.
    answer.on("end", () => settle(complete ? undefined : "incomplete"));
  }

  #readEvent(data: string, record: RequestRecord): boolean {
    try {
      return this.#dialect.read(JSON.parse(data), record);
    } catch {
      record.failure = "bad_json";
      return false;
    }
  }
}
