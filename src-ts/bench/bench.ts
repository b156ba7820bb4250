/** A whole measurement: opens the targets, warms them up, runs the rounds in turn, adds up. */
import { performance } from "node:perf_hooks";
import { ClientError } from "../client/index.js";
import { type AddedLatency, addedLatency } from "./added-latency.js";
import { compare, type Ratio } from "./comparison.js";
import { chat, responses } from "./dialect.js";
import { HttpTarget } from "./http-target.js";
import { type LoadOptions, type LoadResult, runClosedLoop } from "./load.js";
import { MemorySampler, type TreeMemory } from "./memory.js";
import type { BenchOptions } from "./options.js";
import { SocketTarget } from "./socket-target.js";
import { type Summary, summarize } from "./statistics.js";
import type { Target, TargetOptions } from "./target.js";

/** What one target showed. */
export interface TargetReport {
  url: string;
  api: string;
  model: string | null;
  /** All rounds together. */
  summary: Summary;
  /** Each round on its own. */
  rounds: Summary[];
  /** Highest resident memory while under load, if its pid was given. */
  peakMemory: TreeMemory | null;
  addedLatency: AddedLatency | null;
}

export interface LoadReport {
  targets: TargetReport[];
  /** First target to second, with `--vs`. */
  ratios: Ratio[];
  /** Share of the time in which this process was busy: near 1, the generator was the bottleneck. */
  generatorUtilization: number;
}

/** Told what happens, for a progress bar. */
export interface BenchObserver {
  /** `target` 0 or 1; round 0 is the warm-up. */
  onRound(target: number, round: number, rounds: number): void;
  onRequest(): void;
}

/** Nothing could be measured; the message says why. */
export class BenchError extends Error {
  override readonly name = "BenchError";
  /** The server that refuses the key, if it is that. */
  readonly refusedBy: string | undefined;

  constructor(
    message: string,
    { refusedBy, ...options }: ErrorOptions & { refusedBy?: string } = {},
  ) {
    super(message, options);
    this.refusedBy = refusedBy;
  }
}

/** Of a request that was answered by 401, over HTTP and WebSocket. */
const unauthorized = /^(http_401|missing_api_key|invalid_api_key|expired_api_key)$/;

const requestsDefault = 100;
const promptTokensDefault = 32;
const roundsOfComparisonDefault = 5;

export function roundsOf({ rounds, vs }: BenchOptions): number {
  return rounds ?? (vs === undefined ? 1 : roundsOfComparisonDefault);
}

export function loadOptions(options: BenchOptions): LoadOptions {
  const { streams, maxTokens, prompt, promptTokens = promptTokensDefault } = options;
  const { requests = requestsDefault, duration } = options;
  return {
    streams,
    maxTokens,
    prompt: prompt === undefined ? { tokens: promptTokens } : { text: prompt },
    until: duration === undefined ? { requests } : { durationMs: duration },
  };
}

function targetOptions(options: BenchOptions): TargetOptions[] {
  const { url, api, model, apiKey, body, sockets, timeout, vs } = options;
  const keepTexts = options.addedLatency !== undefined;
  const common = { sockets, timeoutMs: timeout, keepTexts };
  const first = { ...common, url, api, model, apiKey, extraBody: body ?? {} };
  if (vs === undefined) return [first];
  const { vsApi, vsModel, vsApiKey, vsBody } = options;
  const second = { url: vs, api: vsApi ?? api, model: vsModel, apiKey: vsApiKey };
  return [first, { ...common, ...second, extraBody: vsBody ?? {} }];
}

function makeTarget(options: TargetOptions): Target {
  if (options.api === "websocket") return new SocketTarget(options);
  return new HttpTarget(options.api === "chat" ? chat : responses, options);
}

/** Rounds get prompts of their own; both targets get the same ones in a round. */
const promptsPerRound = 1_000_000;

class Contender {
  readonly results: LoadResult[] = [];
  readonly #options: TargetOptions;
  readonly #target: Target;
  readonly #sampler: MemorySampler | undefined;

  constructor(options: TargetOptions, pid: number | undefined) {
    this.#options = options;
    this.#target = makeTarget(options);
    this.#sampler = pid === undefined ? undefined : new MemorySampler(pid);
  }

  async open(): Promise<void> {
    try {
      await this.#target.open();
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause);
      const { url } = this.#options;
      const isRefused = cause instanceof ClientError && cause.status === 401;
      const details = { cause, ...(isRefused && { refusedBy: url }) };
      throw new BenchError(`${url} can't be reached: ${why}`, details);
    }
  }

  async warmUp(load: LoadOptions, requests: number, onRequest: () => void): Promise<void> {
    if (requests === 0) return;
    const warmUp = { ...load, until: { requests } };
    const { records } = await runClosedLoop(this.#target, warmUp, 0, onRequest);
    if (records.some(({ failure }) => failure === undefined)) return;
    const kinds = Object.entries(summarize(records, 1).failures);
    const list = kinds.map(([kind, count]) => `${count} × ${kind}`).join(", ");
    const { url } = this.#options;
    const isRefused = kinds.every(([kind]) => unauthorized.test(kind));
    const details = isRefused ? { refusedBy: url } : {};
    throw new BenchError(`No warm-up request to ${url} succeeded: ${list}`, details);
  }

  async run(load: LoadOptions, round: number, onRequest: () => void): Promise<void> {
    const firstPrompt = round * promptsPerRound;
    this.results.push(await runClosedLoop(this.#target, load, firstPrompt, onRequest));
  }

  async close(): Promise<void> {
    await this.#sampler?.stop();
    await this.#target.close();
  }

  async report(tokensPerSecond: number | undefined): Promise<TargetReport> {
    const { url, api, model } = this.#options;
    const records = this.results.flatMap((result) => result.records);
    const wallMs = this.results.reduce((sum, result) => sum + result.wallMs, 0);
    return {
      url,
      api,
      model: model ?? null,
      summary: summarize(records, wallMs),
      rounds: this.results.map((result) => summarize(result.records, result.wallMs)),
      peakMemory: (await this.#sampler?.stop()) ?? null,
      addedLatency: tokensPerSecond === undefined ? null : addedLatency(records, tokensPerSecond),
    };
  }
}

/** Rejects with BenchError when a target can't be reached or fails every warm-up request. */
export async function runBench(
  options: BenchOptions,
  observer: BenchObserver,
): Promise<LoadReport> {
  const pids = [options.pid, options.vsPid];
  const contenders = targetOptions(options).map((each, i) => new Contender(each, pids[i]));
  const load = loadOptions(options);
  const rounds = roundsOf(options);
  const onRequest = () => observer.onRequest();
  try {
    for (const contender of contenders) await contender.open();
    for (const [i, contender] of contenders.entries()) {
      observer.onRound(i, 0, rounds);
      await contender.warmUp(load, options.warmup ?? options.streams, onRequest);
    }
    const startedAt = performance.eventLoopUtilization();
    for (let round = 1; round <= rounds; round += 1) {
      // Who goes first changes, so that neither always runs on the warmer machine.
      const order = [...contenders.entries()];
      if (round % 2 === 0) order.reverse();
      for (const [i, contender] of order) {
        observer.onRound(i, round, rounds);
        await contender.run(load, round, onRequest);
      }
    }
    const generatorUtilization = performance.eventLoopUtilization(startedAt).utilization;
    const targets: TargetReport[] = [];
    for (const contender of contenders) targets.push(await contender.report(options.addedLatency));
    const [ours, theirs] = targets;
    const ratios = theirs === undefined ? [] : compare(ours!.rounds, theirs.rounds);
    return { targets, ratios, generatorUtilization };
  } finally {
    for (const contender of contenders) await contender.close();
  }
}
