/** The Responses API over WebSocket, through our own client: many streams on few sockets. */
import { type Client, ClientError, connect, ResponseFailedError } from "../client/index.js";
import { readUsage } from "./dialect.js";
import {
  noteText,
  type RequestBody,
  type RequestRecord,
  startRecord,
  type Target,
  type TargetOptions,
  v1Url,
} from "./target.js";

export class SocketTarget implements Target {
  #clients: Client[] = [];
  #next = 0;
  readonly #options: TargetOptions;

  constructor(options: TargetOptions) {
    this.#options = options;
  }

  async open(): Promise<void> {
    const { url, apiKey, sockets } = this.#options;
    const connections = Array.from({ length: sockets }, () =>
      connect(v1Url(url), { apiKey, notices: false, reconnect: false }),
    );
    this.#clients = await Promise.all(connections);
  }

  async run({ prompt, maxTokens, signal }: RequestBody): Promise<RequestRecord> {
    const { model, extraBody, timeoutMs } = this.#options;
    const client = this.#clients[this.#next++ % this.#clients.length]!;
    const record = startRecord(this.#options);
    const deadline = AbortSignal.timeout(timeoutMs);
    const stream = client.respond(
      {
        ...(model !== undefined && { model }),
        input: prompt,
        max_output_tokens: maxTokens,
        temperature: 0,
        store: false,
        ...extraBody,
      },
      { signal: signal === undefined ? deadline : AbortSignal.any([deadline, signal]) },
    );
    // Listening costs no promise per event: the generator should be cheaper than what it measures.
    stream.listen((event) => {
      if (event.type === "response.output_text.delta") noteText(record, event.delta);
    });
    try {
      record.usage = readUsage((await stream.final()).usage);
    } catch (error) {
      record.failure = signal?.aborted ? "aborted" : failureOf(error);
    }
    record.endedAt = performance.now();
    return record;
  }

  async close(): Promise<void> {
    await Promise.all(this.#clients.map((client) => client.close()));
  }
}

function failureOf(error: unknown): string {
  if (error instanceof ResponseFailedError) return error.code;
  if (error instanceof ClientError) return error.code === "aborted" ? "timeout" : error.code;
  throw error;
}
