/**
 * One life: a scenario played to its end on virtual time, with every promise checked after every event.
 * The same seed is the same life, to the byte.
 */
import type { LogEntry, Response } from "../../src-ts/engine/api.js";
import { isServingError } from "../../src-ts/errors.js";
import { preparationDeathsMax } from "../../src-ts/machines/Request.js";
import { MemoryDisk } from "../support/memory-disk.js";
import { Asker, type AskerWorld } from "./asker.js";
import {
  cancellingIn,
  checkEngine,
  checkIdle,
  checkUnblamed,
  goesOn,
  isAtRest,
  preparedFor,
  responsesOf,
} from "./invariants.js";
import { Ledger } from "./ledger.js";
import { type Answer, answerTo } from "./oracle.js";
import { Random } from "./random.js";
import { checkReplay, checkSame, checkStored, promptOf } from "./replays.js";
import { directOwner, wrongSalt } from "./salts.js";
import type { DirectPlan, FaultPlan, RequestPlan, Scenario } from "./scenario.js";
import { type ServerWorld, SimServer } from "./server.js";
import { settle, Timeline } from "./timeline.js";
import { wrongIn } from "./turn-items.js";
import { type CallStage, offer } from "./turns.js";
import { Wire } from "./wire.js";
import type { SimProcess, Taken } from "./worker.js";

/** A promise that was broken. */
export class Violation extends Error {
  override readonly name = "Violation";
}

export interface Life {
  events: number;
  virtualMs: number;
  faults: number;
}

/** When nothing has come to its end by then, it never does. */
const lifeMsMax = 400_000;
/** From the order to take a slot back until it is free: two ways over the link. */
const cancelMsMax = 60;
/** Until the disk has the word that what it may hold was turned away. */
const retractedMsMax = 700;
const eventsMax = 60_000;

export class World {
  readonly timeline = new Timeline();
  readonly wires = new Set<Wire>();
  readonly lines: string[] = [];
  readonly random: Random;
  private readonly ledger: Ledger;
  private readonly askers: Asker[] = [];
  private disk = new MemoryDisk();
  private server: SimServer | undefined;
  private servers = 0;
  private isNewServer = false;
  private broken: Violation | undefined;
  private wallOffset = 0;
  private readonly lies = { any: false };
  private readonly seen = { diskFull: false, brokenModel: false, outOfMemory: false };
  private readonly down = { times: 0, drains: 0 };
  /** A worker was disturbed from outside. */
  private harmed = false;
  /** Workers that died of preparing it, by server and request. */
  private readonly kills = new Map<string, number>();
  private readonly admissions = new Map<string, number>();
  private readonly accepted = new Map<string, Set<string>>();
  private readonly deleted = new Set<string>();
  /** Those of them of which the server said that no restart brings them back. */
  private readonly gone = new Set<string>();
  private diedAt = 0;
  private diskOkAt = 0;
  private pendingDirects = 0;
  private isBroken = false;

  constructor(
    private readonly scenario: Scenario,
    readonly isTraced: boolean,
  ) {
    this.random = new Random(scenario.seed ^ 0x5eed);
    this.ledger = new Ledger(
      (what) => this.violated(what),
      (id) => this.deleted.has(id) || this.down.drains > 0,
    );
  }

  async run(): Promise<Life> {
    const { clients, requests, directs, faults } = this.scenario;
    this.boot();
    for (let i = 0; i < clients; i++) this.askers.push(new Asker(`c${i}`, this.askerWorld()));
    for (const plan of requests)
      this.timeline.after(plan.at, () => this.askers[plan.client]!.ask(plan));
    for (const plan of directs) this.timeline.after(plan.at, () => this.direct(plan));
    for (const fault of faults) this.timeline.after(fault.at, () => this.fault(fault));
    await this.live();
    this.check(() => this.checkEnd());
    if (this.broken !== undefined) throw this.broken;
    return { events: this.timeline.events, virtualMs: this.timeline.now, faults: faults.length };
  }

  private async live(): Promise<void> {
    await settle();
    while (this.broken === undefined && !this.isOver) {
      const at = this.timeline.nextAt;
      if (at === undefined || at > lifeMsMax || this.timeline.events > eventsMax) {
        this.neverEnds();
        return;
      }
      this.timeline.step();
      await settle();
      this.check(() => this.checkNow());
    }
  }

  // Checks.

  private checkNow(): void {
    const { server } = this;
    if (server === undefined) return;
    checkEngine(server, this.scenario.plan.engine.maxBatch);
    for (const response of responsesOf(server)) {
      if (this.isNewServer) this.checkForgotten(response.id);
      this.ledger.sawEntries(response, this.isNewServer);
      this.checkText(response);
    }
    this.checkCancelling(server);
    if (this.onlyPreparationKills) checkUnblamed(server);
    for (const id of this.abandoned)
      if (goesOn(server, id)) throw new Violation(`${id} goes on though its reader has gone`);
    this.isNewServer = false;
  }

  /** In this life, so far, no worker can have died of anything else. */
  private get onlyPreparationKills(): boolean {
    const { requests, rowsMax } = this.scenario;
    if (this.harmed || this.seen.brokenModel || rowsMax < Number.POSITIVE_INFINITY) return false;
    return !requests.some(({ prompt }) => prompt.startsWith("poison"));
  }

  private readonly abandoned = new Set<string>();
  private readonly cancelling = new Map<string, number>();

  /** A worker that is well gives a slot back as soon as it hears of it. */
  private checkCancelling(server: SimServer): void {
    for (const { slot, workerId } of cancellingIn(server)) {
      const key = `${server.number}/${slot}`;
      const since = this.cancelling.get(key) ?? this.timeline.now;
      this.cancelling.set(key, since);
      const process = server.processes.findLast(({ spec }) => spec.workerId === workerId);
      const isWell = process?.alive === true && !process.wasDisturbed;
      if (isWell && this.timeline.now - since > cancelMsMax)
        throw new Violation(`slot ${slot} is not given back, ${cancelMsMax} ms after the order`);
    }
  }

  private readonly prompts = new Map<string, string>();

  /** What the server said is deleted is not there after a restart. */
  private checkForgotten(id: string): void {
    if (this.gone.has(id)) throw new Violation(`${id} was deleted and is back`);
  }

  private readonly checkedEntries = new WeakMap<Response, number>();

  /** Whatever is out is a beginning of the right answer. */
  private checkText(response: Response): void {
    const { length } = response.entries;
    if (this.checkedEntries.get(response) === length) return;
    this.checkedEntries.set(response, length);
    const prompt = promptOf(response);
    const { kind } = response.ending ?? {};
    const isWhole = kind === "stop" || kind === "length" || kind === "toolCalls";
    const wrong = wrongIn(response.output, this.answerOf(response, prompt).items, isWhole);
    if (wrong !== undefined) throw new Violation(`${response.id} ${wrong}`);
    this.noteAccepted(prompt, response.id);
  }

  private answerOf({ sampling, maxTokens }: Response, prompt: string): Answer {
    const tools = this.planOf(prompt)?.tools ?? false;
    return answerTo({ prompt, seed: Number(sampling.seed), maxTokens, tools });
  }

  private planOf(prompt: string): RequestPlan | DirectPlan | undefined {
    const { requests, directs } = this.scenario;
    return [...requests, ...directs].find((one) => one.prompt === prompt);
  }

  /** An idempotency key makes one response, unless its server forgot it by dying. */
  private noteAccepted(prompt: string, id: string): void {
    this.prompts.set(id, prompt);
    const ids = this.accepted.get(prompt) ?? new Set();
    this.accepted.set(prompt, ids.add(id));
    const plan = this.scenario.requests.find((one) => one.prompt === prompt);
    // Who never heard of an unstored response before it was forgotten asks for it anew.
    if (plan === undefined || !plan.store) return;
    const lives = this.survives(plan) ? 1 : 1 + this.down.times;
    // What was deleted is forgotten, its key too.
    const most = lives + [...ids].filter((one) => this.deleted.has(one)).length;
    if (ids.size > most) throw new Violation(`"${prompt}" was accepted ${ids.size} times`);
  }

  private checkEnd(): void {
    const { server } = this;
    if (server === undefined) throw new Violation("at the end there is no server");
    this.checkNow();
    checkIdle(server);
    for (const response of responsesOf(server)) checkReplay(response, this.random);
    for (const asker of this.askers) {
      this.checkAcknowledged(server, asker.acknowledged);
      for (const [id, output] of asker.finals) checkStored(server.engine.get(id, "open"), output);
      // A server that dies before its disk works again could not take back what it had written.
      if (this.down.times > 0 && this.diedAt - this.diskOkAt < retractedMsMax) continue;
      for (const prompt of asker.turnedAway) {
        const ids = [...(this.accepted.get(prompt) ?? [])];
        if (ids.length > 0) throw new Violation(`"${prompt}" was turned away and runs as ${ids}`);
      }
    }
  }

  /** What is stored is there, ended once, whatever happened since. */
  private checkAcknowledged(server: SimServer, ids: readonly string[]): void {
    for (const id of ids) {
      const plan = this.scenario.requests.find(({ prompt }) => prompt === this.prompts.get(id));
      if (plan === undefined || this.deleted.has(id)) continue;
      if (!this.survives(plan) && (this.down.times > 0 || !plan.store)) continue;
      const response = server.engine.get(id, "open");
      if (response === undefined) throw new Violation(`${id} was acknowledged and is gone`);
      if (response.ending === undefined) throw new Violation(`${id} has no end`);
    }
  }

  private survives({ store }: RequestPlan): boolean {
    return store && this.scenario.plan.segmentBytesMax !== undefined;
  }

  private get isOver(): boolean {
    const { server } = this;
    if (server === undefined || this.pendingDirects > 0) return false;
    const { requests, faults, directs } = this.scenario;
    const last = Math.max(0, ...[...requests, ...faults, ...directs].map(({ at }) => at));
    if (this.timeline.now < last || this.faultsUnderWay > 0) return false;
    if (!this.askers.every(({ isDone }) => isDone)) return false;
    return responsesOf(server).every(({ ending }) => ending !== undefined) && isAtRest(server);
  }

  private neverEnds(): void {
    const waiting = this.askers.flatMap(({ unsettled }) => unsettled);
    const running = this.server === undefined ? [] : responsesOf(this.server);
    const left = running.filter(({ ending }) => ending === undefined).map(({ id }) => id);
    this.broken ??= new Violation(
      `it never ends: ${JSON.stringify({ waiting, left, directs: this.pendingDirects })}`,
    );
  }

  private check(run: () => void): void {
    try {
      run();
    } catch (error) {
      this.broken ??= error instanceof Violation ? error : new Violation((error as Error).message);
    }
  }

  /** From inside a callback: the life ends after this event. */
  private violated(what: string): never {
    this.broken ??= new Violation(what);
    throw this.broken;
  }

  // Faults.

  private faultsUnderWay = 0;

  private lasting(ms: number, end: () => void): void {
    this.faultsUnderWay++;
    this.timeline.after(ms, () => {
      this.faultsUnderWay--;
      end();
    });
  }

  private fault(fault: FaultPlan): void {
    this.trace(`fault: ${JSON.stringify(fault)}`);
    const worker = () => this.someWorker();
    const wire = this.wires.size > 0 ? this.random.pick([...this.wires]) : undefined;
    switch (fault.kind) {
      case "kill worker":
        return worker()?.die(0, "SIGKILL", fault.keepBytes);
      case "kill in a call":
        this.harmed = true;
        this.deathsInCalls.push(fault);
        return;
      case "stop worker":
        return this.stopWorker(worker(), fault.ms);
      case "hang worker":
        return worker()?.hang();
      case "misbehave":
        if (fault.how === "out of memory") this.seen.outOfMemory = true;
        return worker()?.misbehave(fault.how);
      case "restart worker":
        this.server?.engine.restartWorker("w1");
        return;
      case "cut connection":
        return wire?.cut();
      case "slow reader":
        return wire?.pause(fault.ms);
      case "kill server":
        return this.killServer(fault.downMs);
      case "drain server":
        return this.drainServer(fault.graceMs, fault.downMs);
      case "full disk":
        return this.fillDisk(fault.ms);
      case "failing disk":
        return this.breakDisk(fault);
      case "clock jump":
        this.wallOffset += fault.ms;
        return;
      case "broken model":
        this.isBroken = true;
        this.seen.brokenModel = true;
        return this.lasting(fault.ms, () => {
          this.isBroken = false;
        });
      case "delete response":
        return this.deleteOne();
      case "bad message":
        return wire?.send("{this is no JSON");
    }
  }

  private readonly deathsInCalls: Extract<FaultPlan, { kind: "kill in a call" }>[] = [];

  private deathAt(stage: CallStage): { keepBytes: number } | undefined {
    const index = this.deathsInCalls.findIndex((one) => one.stage === stage);
    return index < 0 ? undefined : this.deathsInCalls.splice(index, 1)[0];
  }

  private someWorker(): SimProcess | undefined {
    this.harmed = true;
    const alive = this.server?.processes.filter((one) => one.alive && !one.hung) ?? [];
    return alive.length === 0 ? undefined : this.random.pick(alive);
  }

  private stopWorker(worker: SimProcess | undefined, ms: number): void {
    worker?.stop();
    this.lasting(ms, () => worker?.resume());
  }

  private killServer(downMs: number): void {
    const { server } = this;
    if (server === undefined || server.isDraining) return;
    this.trace("the server is killed");
    server.kill();
    this.serverDown(downMs);
  }

  private drainServer(graceMs: number, downMs: number): void {
    const { server } = this;
    if (server === undefined || server.isDraining) return;
    this.down.drains++;
    this.faultsUnderWay++;
    void server.terminate(graceMs).then(() => {
      this.faultsUnderWay--;
      if (this.server === server) this.serverDown(downMs);
    });
  }

  private serverDown(downMs: number): void {
    this.down.times++;
    this.diedAt = this.timeline.now;
    this.server = undefined;
    const { faults } = this.disk;
    this.disk = this.disk.afterDeath((bytes) => this.random.int(0, bytes));
    this.disk.faults.roomBytes = faults.roomBytes;
    this.lasting(downMs, () => this.boot());
  }

  private boot(): void {
    const { plan } = this.scenario;
    const number = ++this.servers;
    this.faultsUnderWay++;
    SimServer.boot(number, this.serverWorld(), plan, this.random.fork(), this.disk).then(
      (server) => {
        this.faultsUnderWay--;
        this.server = server;
        this.isNewServer = true;
        this.trace(`server ${number} listens`);
        this.check(() => this.checkNow());
      },
      (error: Error) => this.check(() => this.violated(`server ${number}: ${error.stack}`)),
    );
  }

  private fillDisk(ms: number): void {
    this.seen.diskFull = true;
    this.disk.faults.roomBytes = this.random.int(0, 300);
    this.lasting(ms, () => {
      this.disk.faults.roomBytes = Number.POSITIVE_INFINITY;
    });
  }

  private breakDisk(fault: Extract<FaultPlan, { kind: "failing disk" }>): void {
    this.seen.diskFull = true;
    const { disk } = this;
    disk.faults.truncateFails = !fault.cutsBack;
    disk.faults.writeFails = { code: "EIO", share: fault.share };
    this.diskOkAt = Number.POSITIVE_INFINITY;
    this.lasting(fault.ms, () => {
      disk.faults.writeFails = undefined;
      disk.faults.truncateFails = false;
      this.diskOkAt = this.timeline.now;
    });
  }

  private deleteOne(): void {
    const { server } = this;
    const responses = server === undefined ? [] : responsesOf(server);
    if (responses.length === 0) return;
    const { id } = this.random.pick(responses);
    this.deleted.add(id);
    server?.engine.delete(id, "open").then(
      () => this.gone.add(id),
      (error: unknown) => {
        if (!isServingError(error)) throw error;
      },
    );
  }

  // Those who use the engine itself.

  private direct(plan: DirectPlan): void {
    const { server } = this;
    if (server === undefined || server.isDraining) return;
    this.pendingDirects++;
    const gone = new AbortController();
    if (plan.goesAfterMs !== undefined) this.timeline.after(plan.goesAfterMs, () => gone.abort());
    const over = (): void => {
      this.pendingDirects--;
    };
    const { prompt, seed, maxTokens } = plan;
    const submitted = server.engine.submit({
      input: {
        kind: "chat",
        messages: [{ role: "user", content: prompt }],
        ...(plan.tools && { tools: offer }),
      },
      sampling: { seed },
      maxTokens,
      owner: directOwner,
      abandonment: { kind: "cancel" },
    });
    const dead = new Promise<void>((resolve) => this.onDeath(server, resolve));
    const read = submitted.then((response) => this.readDirect(response, gone.signal));
    void Promise.race([read, dead])
      .catch((error: unknown) => {
        if (!isServingError(error)) throw error;
      })
      .catch((error: Error) => this.check(() => this.violated(`direct: ${error.stack}`)))
      .then(over);
  }

  private async readDirect(response: Response, gone: AbortSignal): Promise<void> {
    const cursor = response.read(-1);
    const leave = (): void => {
      cursor.close();
      this.abandoned.add(response.id);
    };
    if (gone.aborted) leave();
    gone.addEventListener("abort", leave);
    const seen: LogEntry[] = [];
    for await (const entry of cursor) seen.push(entry);
    if (cursor.finished) checkSame(response, seen, 0);
  }

  private onDeath(server: SimServer, run: () => void): void {
    const look = (): void => {
      if (server.owner.alive) this.timeline.after(500, look);
      else run();
    };
    look();
  }

  // What the parts are given.

  private serverWorld(): ServerWorld {
    return {
      timeline: this.timeline,
      random: this.random.fork(),
      trace: (what) => this.trace(what),
      violated: (what) => this.violated(what),
      mayLie: () => this.lies.any,
      dishonest: () => {
        this.lies.any = true;
      },
      booted: () => {},
      wallOffset: () => this.wallOffset,
      diskMs: () => this.random.between(0.05, 4),
      isPoison: (prompt) => String.fromCodePoint(...prompt.slice(1)).startsWith("poison"),
      rowsMax: () => this.scenario.rowsMax,
      loadFails: () => this.isBroken,
      killed: (worker, slotId) => this.killed(worker, slotId),
      admitted: (_worker, prompt, taken) => this.admitted(prompt, taken),
      salted: (prompt, salt) => {
        const wrong = wrongSalt(this.scenario, prompt, salt);
        if (wrong !== undefined) this.violated(wrong);
      },
      deathAt: (stage) => this.deathAt(stage),
    };
  }

  /** A second time it must have been alone, and there is no third. */
  private killed({ spec, preparing, rows }: SimProcess, slotId: number): void {
    const { server } = this;
    const id = server === undefined ? undefined : preparedFor(server, slotId);
    if (server === undefined || id === undefined) return;
    const key = `${server.number}/${id}`;
    const kills = (this.kills.get(key) ?? 0) + 1;
    this.kills.set(key, kills);
    if (kills > preparationDeathsMax) this.violated(`${id} kills ${kills} workers`);
    if (kills > 1 && preparing + rows.size > 1)
      this.violated(`${id} kills ${spec.workerId} beside ${preparing + rows.size - 1}`);
  }

  private admitted(prompt: readonly number[], { emitted, isTurn }: Taken): void {
    const text = String.fromCodePoint(...prompt.slice(1));
    this.admissions.set(text, (this.admissions.get(text) ?? 0) + 1);
    const plan = this.planOf(text);
    if (plan === undefined) return this.violated(`a worker got "${text}", which nobody asked for`);
    if (isTurn !== plan.tools)
      this.violated(`"${text}" comes to a worker with${isTurn ? "" : "out"} tools`);
    const { tokens } = answerTo(plan);
    if (emitted.some((token, i) => token !== tokens[i]))
      this.violated(`"${text}" goes on from ${emitted}, not from ${tokens}`);
  }

  private askerWorld(): AskerWorld {
    const random = this.random.fork();
    return {
      ports: {
        openSocket: (_url, _options, handlers) => new Wire(this, handlers, () => this.server),
        headersSupported: true,
        now: () => this.timeline.now,
        after: (ms, run) => this.timeline.after(ms, run),
        random: random.next,
      },
      after: (ms, run) => void this.timeline.after(ms, run),
      now: () => this.timeline.now,
      isCalm: this.scenario.faults.length === 0,
      trace: (what) => this.trace(what),
      violated: (what) => this.violated(what),
      sawEvent: (id, event) => this.check(() => this.ledger.sawEvent(id, event)),
      mayEnd: (plan, code, accepted) => this.mayEnd(plan, code, accepted),
    };
  }

  /** What may happen to a request, by the promises, in this life. */
  private mayEnd(plan: RequestPlan, code: string, accepted: boolean): boolean {
    // Poison takes its batch with it twice, and no more: the third death is somebody else's doing.
    const lost =
      (this.admissions.get(plan.prompt) ?? 0) >= 3 &&
      (this.harmed || this.scenario.rowsMax < Number.POSITIVE_INFINITY);
    // A suspect is tried alone: nobody else's poison can kill it twice.
    const tried = !accepted && this.harmed;
    const isPoison = /^(poison|venom)/.test(plan.prompt);
    const ids = [...(this.accepted.get(plan.prompt) ?? [])];
    const wasDeleted = ids.some((id) => this.deleted.has(id));
    const excuses: Record<string, boolean> = {
      invalid_prompt: plan.prompt.startsWith("refuse"),
      invalid_request: plan.prompt.startsWith("garble"),
      worker_crashed: isPoison || lost || tried,
      // The last of a poison's deaths may have been for lack of memory.
      out_of_memory:
        ((this.seen.outOfMemory || this.scenario.rowsMax < 2) && (lost || isPoison)) ||
        (this.seen.outOfMemory && tried),
      deadline_exceeded: plan.deadlineMs !== undefined,
      aborted: plan.leave?.how === "abort",
      cancelled: plan.leave !== undefined || wasDeleted || !plan.store,
      queue_full: this.scenario.plan.engine.queueMax < 10,
      no_worker: this.seen.brokenModel || this.scenario.faults.length > 2,
      storage_unavailable: this.seen.diskFull && this.survives(plan) && !accepted,
      server_draining: this.down.drains > 0,
      server_shutdown: this.down.drains > 0 && !(accepted && this.survives(plan)),
      response_lost: wasDeleted || (this.down.times > 0 && !this.survives(plan)) || !plan.store,
      response_not_found: wasDeleted,
    };
    return excuses[code] === true;
  }

  trace(what: string): void {
    if (this.isTraced) this.lines.push(`${this.timeline.now.toFixed(1).padStart(9)} ${what}`);
  }
}
