/**
 * One worker process in memory: speaks the link's real frames, steps on virtual time, and can die, hang
 * or misbehave at any byte. Holds what a worker holds and nothing else.
 */
import { packTokens } from "../../src-ts/encoding/tokens.js";
import type { LaunchSpec } from "../../src-ts/worker/launcher.js";
import { encodeRaw, FrameDecoder, LinkViolation, unpackTokens } from "../../src-ts/worker/link.js";
import {
  type Admission,
  type FromWorker,
  fromWorkerTypes,
  linkVersion,
  type StepRow,
  type ToWorker,
} from "../../src-ts/worker/messages.js";
import type { OneWorker, WorkerEvents } from "../support/launching.js";
import { abilities, nativeParts } from "../ts/support/native-figures.js";
import { endToken, promptTokensOf, tokenAt } from "./oracle.js";
import type { Random } from "./random.js";
import type { Due, Owner, Timeline } from "./timeline.js";
import { type CallStage, callStageOf, hasCalled, saidAtEnd, saidBy, saidOf } from "./turns.js";

export const contextMax = 400;
/** A byte a token: of the longest requests some need more, and run alone. */
export const kvBudgetBytes = 135;
export const kvAloneBytes = 160;

/** What the world lets workers do and sees of them. */
export interface WorkerWorld {
  timeline: Timeline;
  random: Random;
  trace(what: string): void;
  violated(what: string): never;
  /** A worker has taken a request up: `emitted` are the tokens it was given with it. */
  admitted(worker: SimProcess, prompt: readonly number[], taken: Taken): void;
  /** Under which salt a worker keeps a prompt, or looks for it. */
  salted(prompt: string, salt: string | undefined): void;
  /** Anything a worker does that no honest one would. */
  dishonest(): void;
  isPoison(prompt: readonly number[]): boolean;
  /** A prompt kills the worker that prepares it. */
  killed(worker: SimProcess, slotId: number): void;
  /** Rows of a batch that fit into memory. */
  rowsMax(): number;
  loadFails(): boolean;
  /** Whether it dies now that an answer is so far, and how many bytes of what is on its way arrive then. */
  deathAt(stage: CallStage): { keepBytes: number } | undefined;
}

/** What a worker was given with a request: its tokens so far, and whether it may call. */
export interface Taken {
  emitted: readonly number[];
  isTurn: boolean;
}

interface Row {
  id: number;
  prompt: number[];
  tokens: number[];
  maxTokens: number;
  seed: number;
  isTurn: boolean;
  salt: string | undefined;
  prefilled: number;
  total: number;
}

/** Tokens of a block of a prompt, and blocks that a worker's prefix cache has room for. */
const blockTokens = 3;
const blocksMax = 12;

/** A frame, or a part of one, on its way to the orchestrator. */
const linkMsMax = 3;
const prefillTokensPerStep = 8;
const creditsMax = 4;
/** A worker whose link is broken is gone by then, also one that was being stopped and takes its time. */
const replacedWithinMs = 6_000;

export class SimProcess implements OneWorker {
  readonly pid: number;
  alive = true;
  /** Stopped by a signal: does nothing, and reads nothing. */
  stopped = false;
  /** Its engine never comes back. */
  hung = false;
  /** It was stopped or hung once. */
  wasDisturbed = false;
  readonly rows = new Map<number, Row>();
  /** Prompts that it prepares. */
  preparing = 0;
  /** Blocks that the orchestrator was told of. */
  readonly toldBlocks = new Set<string>();
  private readonly blocks = new Set<string>();
  private readonly inbox: ToWorker[] = [];
  private readonly decoder: FrameDecoder;
  private readonly epoch: number;
  private loaded = false;
  private credits = 0;
  private steps = 0;
  private acked = 0;
  private stepTimer: Due | undefined;
  private linkBusyUntil = 0;
  private inboundBusyUntil = 0;
  private linkBroken = false;
  private linkClosed = false;

  constructor(
    readonly spec: LaunchSpec,
    private readonly events: WorkerEvents,
    private readonly world: WorkerWorld,
    private readonly server: Owner,
    pid: number,
  ) {
    this.pid = pid;
    this.epoch = spec.epoch;
    this.decoder = new FrameDecoder(spec.epoch, (message) => {
      if (message.type === "blocks") this.tell(message);
      this.events.message(message);
    });
    this.later(1, () => {
      this.events.spawned(pid);
      this.own(world.random.between(1, 30), () => this.hello());
    });
  }

  // What the orchestrator does to it.

  send(message: ToWorker): void {
    if (this.linkClosed) return;
    const { now } = this.world.timeline;
    this.inboundBusyUntil = Math.max(this.inboundBusyUntil, now + this.world.random.between(0, 1));
    this.later(this.inboundBusyUntil - now, () => {
      if (!this.alive) return;
      this.inbox.push(message);
      if (!this.stopped) this.read();
    });
  }

  kill(signal: "SIGTERM" | "SIGKILL"): void {
    this.world.trace(`${this.name} gets ${signal}`);
    this.later(0.1, () => this.die(0, signal, 0));
  }

  // What the world does to it.

  /** Of what is on its way, the first `keep` bytes arrive, then its end. */
  die(code: number, signal: string, keep = Number.POSITIVE_INFINITY): void {
    if (!this.alive) return;
    this.alive = false;
    this.stepTimer?.cancel();
    this.world.trace(`${this.name} is dead (${signal || code})`);
    this.linkKeep = keep;
    const at = Math.max(this.linkBusyUntil, this.world.timeline.now) - this.world.timeline.now;
    this.later(at + 0.1, () => {
      this.linkClosed = true;
      if (this.world.random.chance(0.5)) this.events.closed();
      this.later(0.2, () => this.events.exited(code, signal, ""));
    });
  }

  private linkKeep = Number.POSITIVE_INFINITY;

  stop(): void {
    this.stopped = true;
    this.wasDisturbed = true;
  }

  hang(): void {
    this.hung = true;
    this.wasDisturbed = true;
  }

  resume(): void {
    this.stopped = false;
    this.read();
    this.wantStep();
  }

  /** A frame that no honest worker would send. */
  misbehave(how: Misbehaviour): void {
    this.world.trace(`${this.name} misbehaves: ${how}`);
    const frame = this.lastFrame ?? this.frame({ type: "aborted", id: 1 });
    switch (how) {
      case "stray bytes":
        return this.dishonestly(Buffer.from("Loading weights… 42 %\n"));
      case "checksum":
        this.flipsNextStep = true;
        return;
      case "length": {
        const bytes = Buffer.from(frame);
        bytes.writeUInt32LE(0x7fff_ffff, 8);
        return this.dishonestly(bytes);
      }
      case "type":
        return this.dishonestly(encodeRaw(251, this.epoch, {}));
      case "order": {
        const row = [...this.rows.values()].find((one) => one.prefilled >= one.total);
        const rows: StepRow[] = row ? [[row.id, row.tokens.length + 1, 1_001, "wrong "]] : [];
        return this.dishonestly(this.frame({ type: "step", step: ++this.steps, rows }));
      }
      case "twice": {
        // The last step again: tokens that are out already.
        if (this.lastFrame !== undefined) this.dishonestly(this.lastFrame);
        return;
      }
      case "old epoch": {
        const rows = [...this.rows.values()].map(
          (one): StepRow => [one.id, one.tokens.length, 1_002, "stale "],
        );
        return this.transmit(encodeRaw(fromWorkerTypes.step, this.epoch - 1, { step: 1, rows }));
      }
      case "out of memory":
        return this.outOfMemory();
    }
  }

  private lastFrame: Buffer | undefined;
  private flipsNextStep = false;

  private dishonestly(bytes: Buffer): void {
    this.world.dishonest();
    this.transmit(bytes);
  }

  private get name(): string {
    return `${this.spec.workerId}/${this.epoch} (pid ${this.pid})`;
  }

  // Its own life.

  private hello(): void {
    this.say({
      type: "hello",
      protocol: linkVersion,
      versions: {},
      backend: "sim",
    });
  }

  private read(): void {
    for (let next = this.inbox.shift(); next !== undefined; next = this.inbox.shift()) {
      this.obey(next);
      if (!this.alive) return;
    }
  }

  private obey(message: ToWorker): void {
    switch (message.type) {
      case "load":
        return void this.own(this.world.random.between(5, 200), () => this.load(message.options));
      case "prepare":
        return this.prepare(message);
      case "admit":
        for (const request of message.requests) this.admit(request);
        return this.wantStep();
      case "abort":
        for (const id of message.ids) if (this.rows.delete(id)) this.say({ type: "aborted", id });
        return;
      case "ack":
        this.credits += Math.max(0, message.step - this.acked);
        this.acked = Math.max(this.acked, message.step);
        return this.wantStep();
      case "stop":
        return this.die(0, "");
      default:
        return;
    }
  }

  private load({ unackedStepsMax }: { unackedStepsMax: number }): void {
    if (this.world.loadFails()) {
      this.say({ type: "loadFailed", code: "broken_model", message: "no such file" });
      this.die(1, "");
      return;
    }
    this.loaded = true;
    // Fewer than an answer has tokens, so that it matters.
    this.credits = Math.min(creditsMax, unackedStepsMax);
    this.say({
      type: "ready",
      limits: {
        contextMax,
        kvBytesPerToken: 1,
        kvBytesFixed: 0,
        weightsBytes: 0,
        kvBudgetBytes,
        kvAloneBytes,
        kvRoom: { oneIn: 16, tokensMin: 1, tokensMax: 4 },
      },
      sampling: { temperature: 0, topP: 1, topK: 0, minP: 0, repetitionPenalty: 1 },
      native: nativeParts,
      abilities,
    });
  }

  private prepare({ id, input, salt }: Extract<ToWorker, { type: "prepare" }>): void {
    const content = input.kind === "chat" ? input.messages.at(-1)?.content : "";
    const prompt = String(content);
    this.world.salted(prompt, salt);
    this.preparing++;
    const kills = prompt.startsWith("venom");
    this.own(this.world.random.between(0, kills ? 40 : 5), () => {
      if (kills) {
        this.world.killed(this, id);
        return this.die(139, "SIGSEGV", 0);
      }
      this.preparing--;
      if (prompt.startsWith("refuse")) {
        const refusal = { code: "invalid_prompt", field: "messages", message: "no" } as const;
        this.say({ type: "refused", id, ...refusal });
      } else {
        const tokens = promptTokensOf(prompt);
        const blockHashes = blocksOf(tokens, salt);
        this.say({ type: "prepared", id, tokens: packTokens(tokens), blockHashes });
      }
    });
  }

  private admit(request: Admission): void {
    const prompt = [...unpackTokens(request.prompt)];
    const tokens = [...unpackTokens(request.emitted)];
    const isTurn = request.tools !== undefined;
    this.world.admitted(this, prompt, { emitted: tokens, isTurn });
    this.world.salted(String.fromCodePoint(...prompt.slice(1)), request.salt);
    if (isUnreadable(prompt)) {
      const refusal = { code: "invalid_request", field: "sampling", message: "no" } as const;
      return this.say({ type: "refused", id: request.id, ...refusal });
    }
    if (this.world.isPoison(prompt)) return this.die(139, "SIGSEGV", 0);
    const { maxTokens, sampling } = request;
    const total = prompt.length + tokens.length;
    const seed = Number(sampling.seed);
    const row = { id: request.id, prompt, tokens, maxTokens, seed, isTurn, salt: request.salt };
    const finish = finishOf(row);
    this.rows.set(request.id, { ...row, prefilled: 0, total });
    if (finish !== undefined) this.end(this.rows.get(request.id)!, finish);
  }

  private wantStep(): void {
    if (this.stepTimer !== undefined || this.rows.size === 0 || !this.loaded) return;
    this.stepTimer = this.own(this.world.random.between(5, 40), () => {
      this.stepTimer = undefined;
      this.step();
      this.wantStep();
    });
  }

  private step(): void {
    if (this.rows.size > this.world.rowsMax()) return this.outOfMemory();
    for (const row of this.rows.values()) this.prefill(row);
    const known = [...this.rows.values()].filter(({ prefilled, total }) => prefilled >= total);
    for (const row of known) if (row.maxTokens === 0) this.end(row, "stop");
    const decoding = known.filter(({ maxTokens }) => maxTokens > 0);
    if (this.credits <= 0 || decoding.length === 0) return;
    const rows = decoding.map((row) => this.decode(row));
    this.credits--;
    this.say({ type: "step", step: ++this.steps, rows });
    if (this.diesOf(decoding)) return;
    for (const row of decoding) {
      const finish = finishOf(row);
      if (finish !== undefined) this.end(row, finish);
    }
  }

  /** In the middle of a call, or between its end and that of the answer. */
  private diesOf(rows: readonly Row[]): boolean {
    for (const { tokens } of rows) {
      const stage = callStageOf(tokens, endToken);
      const death = stage === undefined ? undefined : this.world.deathAt(stage);
      if (death === undefined) continue;
      this.die(0, "SIGKILL", death.keepBytes);
      return true;
    }
    return false;
  }

  private prefill(row: Row): void {
    if (row.prefilled >= row.total) return;
    row.prefilled = Math.min(row.total, row.prefilled + prefillTokensPerStep);
    const { id, prefilled: done, total } = row;
    this.say({ type: "prefill", id, done, total, cached: 0 });
    if (done >= total) this.keep(blocksOf(row.prompt, row.salt));
  }

  /** The last block goes first: each is behind all that it needs. */
  private keep(blocks: readonly string[]): void {
    const kept = blocks.filter((block) => !this.blocks.has(block));
    for (const block of blocks.toReversed()) {
      this.blocks.delete(block);
      this.blocks.add(block);
    }
    const evicted = [...this.blocks].slice(0, Math.max(0, this.blocks.size - blocksMax));
    for (const block of evicted) this.blocks.delete(block);
    const held = kept.filter((block) => this.blocks.has(block));
    const gone = evicted.filter((block) => !kept.includes(block));
    if (held.length + gone.length > 0) this.say({ type: "blocks", kept: held, evicted: gone });
  }

  private tell({ kept, evicted }: Extract<FromWorker, { type: "blocks" }>): void {
    for (const block of evicted) this.toldBlocks.delete(block);
    for (const block of kept) this.toldBlocks.add(block);
  }

  private decode(row: Row): StepRow {
    const index = row.tokens.length;
    const token = tokenAt(row, index);
    row.tokens.push(token);
    return [row.id, index, token, saidOf(saidBy(row.tokens, index))];
  }

  private end({ id, tokens }: Row, finish: Finish): void {
    this.rows.delete(id);
    this.say({ type: "ended", id, finish, tail: saidOf(saidAtEnd(tokens)) });
  }

  private outOfMemory(): void {
    this.say({ type: "fault", code: "out_of_memory", message: "no room" });
    this.die(1, "");
  }

  // The link: bytes in order, in pieces, with a delay.

  private say(message: FromWorker): void {
    if (!this.alive) return;
    const bytes = this.frame(message);
    if (message.type !== "step") return this.transmit(bytes);
    this.lastFrame = bytes;
    if (!this.flipsNextStep) return this.transmit(bytes);
    this.flipsNextStep = false;
    const flipped = Buffer.from(bytes);
    // The last letter of a text: nothing but the checksum can tell.
    flipped[flipped.length - 2]! ^= 1;
    this.dishonestly(flipped);
  }

  private frame({ type, ...body }: FromWorker): Buffer {
    return encodeRaw(fromWorkerTypes[type], this.epoch, body);
  }

  private transmit(bytes: Buffer): void {
    const { timeline, random } = this.world;
    const cut = random.chance(0.1) ? random.int(1, bytes.length) : bytes.length;
    for (const piece of [bytes.subarray(0, cut), bytes.subarray(cut)]) {
      if (piece.length === 0) continue;
      const at = Math.max(this.linkBusyUntil, timeline.now + random.between(0, linkMsMax));
      this.linkBusyUntil = at;
      this.later(at - timeline.now, () => this.arrive(piece));
    }
  }

  private arrive(bytes: Buffer): void {
    if (this.linkBroken || this.linkClosed) return;
    const kept = bytes.subarray(0, Math.min(bytes.length, this.linkKeep));
    this.linkKeep -= kept.length;
    try {
      this.decoder.push(kept);
    } catch (error) {
      if (!(error instanceof LinkViolation)) throw error;
      this.linkBroken = true;
      this.events.violated(error.message);
      this.later(replacedWithinMs, () => {
        if (this.alive) this.world.violated(`${this.name} goes on with a broken link`);
      });
    }
  }

  /** Happens to the orchestrator, while that lives. */
  private later(ms: number, run: () => void): void {
    this.world.timeline.after(ms, run, this.server);
  }

  /** Is the process's own doing: waits while it is stopped, never comes once it hangs or is dead. */
  private own(ms: number, run: () => void): Due {
    const attempt = (): void => {
      if (!this.alive || this.hung) return;
      if (this.stopped) this.world.timeline.after(50, attempt, this.server);
      else run();
    };
    return this.world.timeline.after(ms, attempt, this.server);
  }
}

export const misbehaviours = [
  "stray bytes",
  "checksum",
  "length",
  "type",
  "order",
  "twice",
  "old epoch",
  "out of memory",
] as const;
export type Misbehaviour = (typeof misbehaviours)[number];

/** Each stands for all before it too, and for the salt. */
function blocksOf(prompt: readonly number[], salt = ""): string[] {
  const count = Math.floor(prompt.length / blockTokens);
  return Array.from(
    { length: count },
    (_, i) => salt + String.fromCodePoint(...prompt.slice(0, (i + 1) * blockTokens)),
  );
}

/** A request that its frame names and that can't be read. */
function isUnreadable(prompt: readonly number[]): boolean {
  return String.fromCodePoint(...prompt.slice(1)).startsWith("garble");
}

type Finish = "stop" | "length" | "toolCalls";

function finishOf({ tokens, maxTokens }: Pick<Row, "tokens" | "maxTokens">): Finish | undefined {
  if (maxTokens === 0) return undefined; // ends with its prompt
  if (tokens.at(-1) === endToken) return hasCalled(tokens) ? "toolCalls" : "stop";
  return tokens.length >= maxTokens ? "length" : undefined;
}
