/**
 * The real engine loop over real processes of the fake engine, each incarnation with a fault of its own.
 * The faults are described in python/mlx_serving/fake/faults.py.
 */
import type { Engine, EngineOptions, LogEntry, Response } from "../../../src-ts/engine/api.js";
import { WorkerEngine } from "../../../src-ts/engine/engine.js";
import { systemPorts } from "../../../src-ts/engine/index.js";
import { describePython, pythonProject } from "../../../src-ts/environment/python.js";
import * as WorkerMachine from "../../../src-ts/machines/Worker.js";
import type { Launcher, LaunchSpec } from "../../../src-ts/worker/launcher.js";
import type { FromWorker } from "../../../src-ts/worker/messages.js";
import { nativeEnvironment } from "../../e2e/support/native.js";
import { fakeEngine } from "../../support/engine-options.js";

export interface Place {
  frame: string;
  nth?: number;
  byte?: number;
}

export interface Faults {
  prefillMsPerToken?: number;
  dieAtToken?: number;
  dieSignal?: string;
  hangAtToken?: number;
  poison?: string;
  poisonPrepare?: string;
  hangPrepare?: string;
  prepareMs?: number;
  outOfMemoryAtRows?: number;
  outOfMemoryAtTokens?: number;
  exitOnLoad?: boolean;
  loadFailed?: string;
  dieAtByte?: number;
  dieInFrame?: Place;
  damage?: Place & { kind: string };
  afterEnded?: number;
}

/** More bytes than any frame has: its end. */
export const wholeFrame = 1 << 20;

const pollPeriodMs = 2;
const pollTimeoutMs = 30_000;

/** Deaths are what these tests are about: none of them opens the circuit or costs a pause. */
export const hardened: WorkerMachine.Policy = {
  ...WorkerMachine.defaultPolicy,
  backoffMinMs: 1,
  backoffMaxMs: 5,
  deathsMax: 1_000_000,
  deathsWithoutProgressMax: 1_000_000,
};

const quick: EngineOptions = { ...fakeEngine, models: [{ id: "fake", kind: "fake", path: "" }] };

export interface BenchOptions {
  engine?: Partial<EngineOptions>;
  policy?: Partial<WorkerMachine.Policy>;
  /** Environment over the fault's. */
  env?: (spec: LaunchSpec) => Record<string, string | undefined>;
  /** Stands between the engine and its processes. */
  between?: (launcher: Launcher) => Launcher;
}

/** Sees every message on its way to the engine. */
export function watching(see: (message: FromWorker, spec: LaunchSpec) => void) {
  return (launcher: Launcher): Launcher => ({
    launch: (spec, process, link) => {
      const message = (message: FromWorker): void => {
        see(message, spec);
        link.message(message);
      };
      return launcher.launch(spec, process, { ...link, message });
    },
  });
}

/** An engine whose next process gets the fault that `faults` says then. */
export class FaultBench implements AsyncDisposable {
  faults: (spec: LaunchSpec) => Faults = () => ({});
  /** Rejections that were counted, as `machine kind event`. */
  readonly rejections: string[] = [];
  /** Lines of the engine's log, from warnings on. */
  readonly warnings: string[] = [];
  readonly lost: string[] = [];
  readonly engine: Engine;
  private readonly worker: WorkerEngine;

  constructor(options: BenchOptions = {}) {
    const own = nativeEnvironment();
    const { path: python } = describePython({ ...process.env, ...own });
    const ports = systemPorts({
      command: (spec) => {
        const variable = JSON.stringify(this.faults(spec));
        const env = { ...own, MLX_SERVING_FAKE_FAULTS: variable, ...options.env?.(spec) };
        return { python, packageDir: pythonProject, env };
      },
    });
    const launcher = options.between?.(ports.launcher) ?? ports.launcher;
    const policy = { ...hardened, ...options.policy };
    this.worker = new WorkerEngine({ ...quick, ...options.engine }, { ...ports, launcher }, policy);
    this.engine = this.worker;
    this.engine.observe({
      rejection: ({ machine, kind, event }) =>
        void this.rejections.push(`${machine} ${kind} ${event}`),
      workerLost: ({ fault }) => void this.lost.push(fault),
      log: (level, message) => {
        if (level === "warn" || level === "error") this.warnings.push(message);
      },
    });
  }

  async start(): Promise<this> {
    this.worker.start();
    await this.engine.whenReady();
    return this;
  }

  get info() {
    return this.engine.workers()[0]!;
  }

  /** Waits until this is true; the error shows the workers. */
  async until(what: () => boolean): Promise<void> {
    const end = performance.now() + pollTimeoutMs;
    while (!what()) {
      if (performance.now() > end)
        throw new Error(`It never came true: ${what}\n${JSON.stringify(this.engine.workers())}`);
      await new Promise((resolve) => setTimeout(resolve, pollPeriodMs));
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.engine.close();
  }
}

/** Everything of an answer that a death must not change. */
export interface Answer {
  text: string;
  tokens: readonly number[];
  logprobs: readonly unknown[];
  /** Without the time. */
  end: unknown;
}

const shape =
  /^created (queued )?(inProgress )?(itemAdded partAdded (delta )*textDone partDone itemDone )?ended $/;

/** Follows a response to its end, checks what holds for every log, and says what it was. */
export async function answerOf(response: Response): Promise<Answer> {
  const seen: LogEntry[] = [];
  for await (const entry of response.read(-1)) seen.push(entry);
  checkLog(response, seen);
  const { text, tokens, logprobs } = response;
  const last = seen.at(-1);
  if (last?.kind !== "ended") throw new Error("the last entry is not the end");
  const { ending, usage } = last;
  return { text, tokens: [...tokens], logprobs: [...logprobs], end: { ending, usage } };
}

function checkLog(response: Response, seen: readonly LogEntry[]): void {
  const kinds = seen.map(({ kind }) => `${kind} `).join("");
  if (!shape.test(kinds)) throw new Error(`entries: ${kinds}`);
  if (seen.length !== response.entries.length)
    throw new Error(`a reader saw ${seen.length} entries of ${response.entries.length}`);
  let text = "";
  let tokens = 0;
  for (const entry of seen) {
    if (entry.kind !== "delta") continue;
    text += entry.text;
    tokens += entry.tokens;
  }
  const whole = text === response.text && tokens <= response.tokens.length;
  if (!whole) throw new Error(`deltas of ${tokens} tokens: ${text}\nresponse: ${response.text}`);
}
