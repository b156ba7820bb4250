/** A virtual clock and workers in memory, so that the engine's tests decide what happens when. */
import { packTokens } from "../../../src-ts/encoding/tokens.js";
import type { EngineOptions, Submission } from "../../../src-ts/engine/api.js";
import { WorkerEngine } from "../../../src-ts/engine/engine.js";
import type { Journal } from "../../../src-ts/engine/journal.js";
import type { Clock, Timer } from "../../../src-ts/engine/ports.js";
import type { LaunchSpec } from "../../../src-ts/worker/launcher.js";
import { encodeFrame, unpackTokens } from "../../../src-ts/worker/link.js";
import {
  type Admission,
  type FromWorker,
  linkVersion,
  type Piece,
  type Said,
  type ToWorker,
} from "../../../src-ts/worker/messages.js";
import { fakeEngine } from "../../support/engine-options.js";
import { launcherOf, type OneWorker, type WorkerEvents } from "../../support/launching.js";
import { abilities, nativeParts } from "../support/native-figures.js";

export class VirtualClock implements Clock {
  private time = 0;
  private readonly timers = new Set<{ at: number; run: () => void }>();

  now(): number {
    return this.time;
  }

  wall(): number {
    return 1_700_000_000_000 + this.time;
  }

  after(ms: number, run: () => void): Timer {
    const timer = { at: this.time + ms, run };
    this.timers.add(timer);
    return { cancel: () => this.timers.delete(timer) };
  }

  soon(run: () => void): void {
    queueMicrotask(run);
  }

  /** Lets `ms` pass, running what falls due in order, with turns in between. */
  async advance(ms: number): Promise<void> {
    const end = this.time + ms;
    await settle();
    for (;;) {
      const due = [...this.timers].filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0];
      if (due === undefined) break;
      this.timers.delete(due);
      this.time = Math.max(this.time, due.at);
      due.run();
      await settle();
    }
    this.time = end;
  }

  get pendingTimers(): number {
    return this.timers.size;
  }
}

/** Runs every microtask that is waiting. */
export async function settle(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}

/** The text a prompt leads to; token i of it has the id 1000 + i. */
export const wordAt = (i: number): string => `w${i} `;

interface Running {
  admission: Admission;
  index: number;
}

/** One process in memory. It answers at once what has one answer; the test makes it generate. */
export class SimWorker implements OneWorker {
  readonly sent: ToWorker[] = [];
  readonly running = new Map<number, Running>();
  readonly held: { id: number; tokens: Uint8Array }[] = [];
  signals: string[] = [];
  alive = true;
  private steps = 0;

  constructor(
    readonly spec: LaunchSpec,
    private readonly events: WorkerEvents,
    private readonly options: SimOptions,
  ) {
    queueMicrotask(() => {
      events.spawned(1000 + spec.epoch);
      this.say({
        type: "hello",
        protocol: linkVersion,
        versions: {},
        backend: "sim",
      });
    });
  }

  say(message: FromWorker): void {
    if (this.alive) this.events.message(message);
  }

  send(message: ToWorker): void {
    if (!this.alive) return;
    encodeFrame(message, this.spec.epoch); // it must have a form on a real link
    this.sent.push(message);
    queueMicrotask(() => this.answer(message));
  }

  kill(signal: "SIGTERM" | "SIGKILL"): void {
    this.signals.push(signal);
    queueMicrotask(() => this.die(0, signal));
  }

  die(code = 1, signal = "", output = ""): void {
    if (!this.alive) return;
    this.alive = false;
    this.events.exited(code, signal, output);
  }

  breakLink(): void {
    this.events.violated("test");
  }

  /** Answers prepares that were held back. */
  prepareHeld(): void {
    for (const { id, tokens } of this.held.splice(0))
      this.say({ type: "prepared", id, tokens, blockHashes: [] });
  }

  prefill(): void {
    for (const [id, { admission }] of this.running) {
      const total = (admission.prompt.length + admission.emitted.length) / 4;
      this.say({ type: "prefill", id, done: total, total, cached: 0 });
    }
  }

  /** What the only request reads, and its end. */
  read(vectors: Uint8Array): void {
    const [id] = this.running.keys();
    this.say({ type: "read", id: id!, vectors });
    this.running.delete(id!);
    this.say({ type: "ended", id: id!, finish: "stop", tail: "" });
  }

  /** One token more for the only request, with these pieces. */
  speak(...pieces: Piece[]): void {
    const [[id, running]] = [...this.running] as [[number, Running]];
    const index = running.index++;
    this.say({ type: "step", step: ++this.steps, rows: [[id, index, 1000 + index, pieces]] });
  }

  /** One decode step for every row; ends those that reached their limit. */
  step(): void {
    this.stepOne(() => true);
  }

  /** A step for some rows only. */
  stepOne(includes: (admission: Admission) => boolean): void {
    const stepped = [...this.running].filter(([, { admission }]) => includes(admission));
    const rows = stepped.map(
      ([id, { index }]) =>
        [id, index, 1000 + index, wordAt(index)] as [number, number, number, string],
    );
    if (rows.length === 0) return;
    this.say({ type: "step", step: ++this.steps, rows });
    for (const [id, running] of stepped) {
      running.index++;
      if (running.index >= running.admission.maxTokens) this.end(id, "length");
    }
  }

  /** `stop`: the stop string that ended it. */
  end(id: number, finish: "stop" | "length" | "toolCalls", tail: Said = "", stop?: string): void {
    this.running.delete(id);
    this.say({ type: "ended", id, finish, tail, ...(stop !== undefined && { stop }) });
  }

  private answer(message: ToWorker): void {
    switch (message.type) {
      case "load":
        if (this.options.loadFails) return this.failLoad();
        return this.say({
          type: "ready",
          limits: this.options.limits,
          sampling: { temperature: 0.6, topP: 0.9, topK: 5, minP: 0, repetitionPenalty: 1.1 },
          native: nativeParts,
          abilities,
        });
      case "prepare":
        return this.prepare(message);
      case "admit":
        for (const admission of message.requests)
          this.running.set(admission.id, { admission, index: admission.emitted.length / 4 });
        return;
      case "abort":
        for (const id of message.ids)
          if (this.running.delete(id)) this.say({ type: "aborted", id });
        return;
      case "stop":
        return this.die(0);
      default:
        return;
    }
  }

  private failLoad(): void {
    const { code, message } = this.options.loadFailure;
    this.say({ type: "loadFailed", code, message });
    this.die(1);
  }

  private prepare({ id, input, spell }: Extract<ToWorker, { type: "prepare" }>): void {
    const texts = input.kind === "texts" ? input.texts.map(String) : undefined;
    const text = texts?.join("") ?? (input.kind === "text" ? input.text : input.kind);
    if (text.startsWith("venom")) return this.die(0, "SIGSEGV");
    if (text === "refuse me")
      return this.say({
        type: "refused",
        id,
        code: "invalid_prompt",
        field: "messages",
        message: "messages: unknown role, of messages",
      });
    const tokens = packTokens([...text].map((c) => c.codePointAt(0)!));
    if (this.options.holdPrepares) this.held.push({ id, tokens });
    else {
      const { unbounded } = this.options;
      const spelled = { ...(spell?.text && { text }), ...(spell?.pieces && { pieces: [...text] }) };
      const lengths = texts && { lengths: texts.map(({ length }) => length) };
      const told = { ...lengths, ...(unbounded && { unbounded }), ...spelled };
      this.say({ type: "prepared", id, tokens, blockHashes: [], ...told });
    }
  }
}

export interface SimOptions {
  limits: {
    contextMax: number;
    kvBytesPerToken: number;
    kvBytesFixed: number;
    weightsBytes: number;
    kvBudgetBytes: number;
    kvAloneBytes: number;
    kvRoom: { oneIn: number; tokensMin: number; tokensMax: number };
  };
  holdPrepares: boolean;
  /** Its model's reasoning can't be bounded. */
  unbounded?: boolean;
  /** May be changed while the test runs. */
  loadFails: boolean;
  /** How it does. */
  loadFailure: { code: string; message: string };
}

export interface SimParts {
  clock?: VirtualClock;
  journal?: Journal;
  /** Tells the ids of one server process from those of the next. */
  process?: string;
}

export class Sim {
  readonly clock: VirtualClock;
  readonly spawned: SimWorker[] = [];
  readonly engine: WorkerEngine;
  readonly options: SimOptions;
  private ids = 0;

  constructor(
    options: Partial<EngineOptions> = {},
    sim: Partial<SimOptions> = {},
    { clock = new VirtualClock(), journal, process = "" }: SimParts = {},
  ) {
    this.clock = clock;
    this.options = {
      limits: {
        contextMax: 1000,
        kvBytesPerToken: 1,
        kvBytesFixed: 0,
        weightsBytes: 0,
        kvBudgetBytes: 100_000,
        kvAloneBytes: 100_000,
        kvRoom: { oneIn: 1, tokensMin: 0, tokensMax: 0 },
      },
      holdPrepares: false,
      loadFails: false,
      loadFailure: { code: "tokenizer_missing", message: "no tokenizer.json" },
      ...sim,
    };
    const ports = {
      clock: this.clock,
      ids: { response: (prefix: string) => `${prefix}_${process}${++this.ids}` },
      random: () => 0.5,
      launcher: launcherOf((spec, events) => this.launch(spec, events)),
      journal,
    };
    this.engine = new WorkerEngine({ ...defaults, ...options }, ports);
  }

  private launch(spec: LaunchSpec, events: WorkerEvents): SimWorker {
    const worker = new SimWorker(spec, events, this.options);
    this.spawned.push(worker);
    return worker;
  }

  async start(): Promise<this> {
    this.engine.start();
    await this.engine.whenReady();
    return this;
  }

  /** The newest process of the first worker. */
  get worker(): SimWorker {
    return this.spawned.filter(({ spec }) => spec.workerId === "w1").at(-1)!;
  }
}

const defaults: EngineOptions = { ...fakeEngine, queueMax: 8 };

export const submission = (changes: Partial<Submission> = {}): Submission => ({
  input: { kind: "text", text: "hello" },
  sampling: {
    temperature: 0,
    topP: 1,
    topK: 0,
    minP: 0,
    repetitionPenalty: 1,
    presencePenalty: 0,
    frequencyPenalty: 0,
    logitBias: [],
    seed: 1,
    stop: [],
    logprobs: -1,
  },
  maxTokens: 5,
  owner: "o",
  clientId: "c",
  priority: "normal",
  store: false,
  abandonment: { kind: "keep" },
  idPrefix: "resp",
  ...changes,
});

export const tokensOf = (admission: Admission): { prompt: number[]; emitted: number[] } => ({
  prompt: [...unpackTokens(admission.prompt)],
  emitted: [...unpackTokens(admission.emitted)],
});
