/** `mlx-serving bench`: load test of any OpenAI-compatible server. The measuring is in `bench/`. */
import { writeFile } from "node:fs/promises";
import { SingleBar } from "cli-progress";
import { Command } from "commander";
import { BenchError, type BenchObserver, loadOptions, runBench } from "../bench/bench.js";
import { type IdleResult, measureIdleSockets } from "../bench/idle.js";
import { type BenchOptions, parseOptions } from "../bench/options.js";
import { idleText, jsonReport, loadText } from "../bench/report.js";
import { ClientError } from "../client/index.js";
import { keyOf, keyRefused } from "./client-key.js";
import { CommandError, exitCodes } from "./failure.js";

const explanation = `
Closed loop: each stream sends its next request when its last one has ended. Tokens are counted
from the server's usage. Failed requests are counted by kind and left out of the times.

  inter-token      between two events with text of one stream
  per token        (last event - first event) / (tokens - 1), of each stream
  behind schedule  with --added-latency RATE, for the fake engine with --fake-tokens-per-second RATE:
                   how much later than its due time a token came. Token i of a stream is due i / RATE
                   after the first; the least late token of a stream counts as on time.
  added per token  the same above the least late of this and all later tokens of its stream: without
                   the time that the engine itself lost, which it does not make up for.

Examples
  mlx-serving bench --url http://127.0.0.1:8088 --streams 16 --requests 200
  mlx-serving bench --url http://127.0.0.1:8088 --api websocket --streams 64 --duration 30s
  mlx-serving bench --url http://127.0.0.1:8088 --vs http://127.0.0.1:8080 --rounds 7 --json out.json
  mlx-serving bench --url http://127.0.0.1:8088 --idle-sockets 1000 --pid 4242
`;

/** The subcommand, for the program to register. */
export function benchCommand(): Command {
  const command = new Command("bench")
    .description("load test of any OpenAI-compatible server")
    .option("--url <url>", "base URL of the server, with or without /v1", "http://127.0.0.1:8088")
    .option("--api <api>", "chat, responses or websocket", "chat")
    .option("--model <id>", "model to ask for (default: the server's)")
    .option("--api-key <key>", "sent as Authorization: Bearer (default: MLX_SERVING_API_KEY)")
    .option(
      "--api-key-file <file>",
      "or a file, of which the first key is sent; a hash is none (default: what MLX_SERVING_API_KEY_FILE names)",
    )
    .option("--body <json>", "fields that are added to every request")
    .option("--streams <n>", "how many at the same time", "16")
    .option("--sockets <n>", "WebSocket only: sockets that the streams share", "1")
    .option("--requests <n>", "how many in a round (default: 100)")
    .option("--duration <time>", "instead: how long a round sends requests, such as 30s")
    .option("--warmup <n>", "requests before measuring (default: one a stream)")
    .option("--prompt <text>", "the same prompt for all requests")
    .option("--prompt-tokens <n>", "prompts of about so many tokens, all different (default: 32)")
    .option("--max-tokens <n>", "tokens to generate at most", "64")
    .option("--timeout <time>", "after which a request counts as failed", "120s")
    .option("--pid <pid>", "the server's process, to report its memory and that of its children")
    .option("--json <file>", "write the result there; - for the standard output")
    .option("--vs <url>", "a second server: both in turn, round by round, and the ratios")
    .option("--vs-api <api>", "its API (default: the same)")
    .option("--vs-model <id>", "its model")
    .option("--vs-api-key <key>", "its key")
    .option("--vs-api-key-file <file>", "or a file with it")
    .option("--vs-body <json>", "fields that are added to its requests")
    .option("--vs-pid <pid>", "its process")
    .option("--rounds <n>", "how often to repeat (default: 1, or 5 with --vs)")
    .option(
      "--added-latency <rate>",
      "report delays against this rate of the fake engine, in tokens per second",
    )
    .option("--idle-sockets <n>", "open so many idle WebSockets instead, and report their memory")
    .addHelpText("after", explanation);
  return command.action(async () => {
    const options = parseOptions(command.opts());
    if (typeof options === "string") return command.error(`error: ${options}`, { exitCode: 2 });
    const keyed = withKeys(options);
    try {
      if (!(await run(keyed))) throw new CommandError("No request succeeded.");
    } catch (error) {
      if (!(error instanceof BenchError || error instanceof ClientError)) throw error;
      throw (
        refusalOf(error, keyed) ??
        new CommandError(error.message, exitCodes.runtime, { cause: error })
      );
    }
  });
}

/** No variable's key goes to a second server: it is another's. */
function withKeys(options: BenchOptions): BenchOptions {
  const { vsApiKey, vsApiKeyFile } = options;
  const second = keyOf({ apiKey: vsApiKey, apiKeyFile: vsApiKeyFile }, {});
  return { ...options, apiKey: keyOf(options), vsApiKey: second };
}

/** Undefined: it isn't about the key. */
function refusalOf(
  error: BenchError | ClientError,
  { apiKey, vs, url }: BenchOptions,
): CommandError | undefined {
  if (error instanceof ClientError)
    return error.status === 401 ? keyRefused(apiKey, error.message) : undefined;
  if (error.refusedBy === undefined) return undefined;
  if (error.refusedBy !== vs || vs === url) return keyRefused(apiKey);
  return new CommandError(
    `${vs} refuses the key, or the lack of one: give it with --vs-api-key or --vs-api-key-file.`,
  );
}

async function run(options: BenchOptions): Promise<boolean> {
  if (options.idleSockets !== undefined) {
    const result = await runIdle(options, options.idleSockets, options.pid!);
    await output(options, idleText(result), result);
    return true;
  }
  const progress = new Progress(options);
  const result = await runBench(options, progress).finally(() => progress.stop());
  await output(options, loadText(result), result);
  return result.targets.every(({ summary }) => summary.succeeded > 0);
}

async function output(
  options: BenchOptions,
  text: string,
  result: Parameters<typeof jsonReport>[1],
): Promise<void> {
  const { json } = options;
  if (json !== "-") process.stdout.write(text);
  if (json === undefined) return;
  const content = `${JSON.stringify(jsonReport(options, result), null, 2)}\n`;
  if (json === "-") process.stdout.write(content);
  else await writeFile(json, content);
}

function makeBar(format: string): SingleBar | undefined {
  if (!process.stderr.isTTY) return undefined;
  return new SingleBar({ format, stream: process.stderr, clearOnComplete: true, hideCursor: true });
}

/** A bar a round, of requests or of time; nothing at all where nobody looks. */
class Progress implements BenchObserver {
  readonly #bar = makeBar("{title} {bar} {requests} requests, {duration} s");
  readonly #options: BenchOptions;
  #done = 0;
  #startedAt = 0;
  /** Undefined: the round is over after so many requests. */
  #durationMs: number | undefined;

  constructor(options: BenchOptions) {
    this.#options = options;
  }

  onRound(target: number, round: number, rounds: number): void {
    const { url, vs, streams, warmup = streams } = this.#options;
    const { until } = loadOptions(this.#options);
    const title = `${target === 0 ? url : vs} ${round === 0 ? "warm-up" : `round ${round} of ${rounds}`}`;
    const requests = round === 0 ? warmup : "requests" in until ? until.requests : undefined;
    this.#durationMs = round > 0 && "durationMs" in until ? until.durationMs : undefined;
    this.#done = 0;
    this.#startedAt = performance.now();
    this.#bar?.stop();
    this.#bar?.start(requests ?? this.#durationMs ?? 0, 0, { title, requests: 0 });
  }

  onRequest(): void {
    this.#done += 1;
    const value =
      this.#durationMs === undefined
        ? this.#done
        : Math.min(performance.now() - this.#startedAt, this.#durationMs);
    this.#bar?.update(value, { requests: this.#done });
  }

  stop(): void {
    this.#bar?.stop();
  }
}

async function runIdle(options: BenchOptions, sockets: number, pid: number): Promise<IdleResult> {
  const { url, apiKey, model } = options;
  const bar = makeBar("opening sockets {bar} {value}/{total}");
  bar?.start(sockets, 0);
  const idle = { url, apiKey, model, sockets, pid, settleMs: 3000 };
  return measureIdleSockets(idle, (count) => bar?.update(count)).finally(() => bar?.stop());
}
