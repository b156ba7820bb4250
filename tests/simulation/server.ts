/** One server process: the real engine, journal and sessions, over simulated workers, disk and sockets. */
import type { Duplex } from "node:stream";
import type { WebSocket } from "ws";
import type { EngineOptions } from "../../src-ts/engine/api.js";
import { WorkerEngine } from "../../src-ts/engine/engine.js";
import { SegmentJournal } from "../../src-ts/journal/journal.js";
import { recover } from "../../src-ts/journal/recovery.js";
import { fixedKeys } from "../../src-ts/keys/entry.js";
import { closeCodes } from "../../src-ts/protocol/events.js";
import { Gate } from "../../src-ts/server/access/gate.js";
import { Keys } from "../../src-ts/server/access/keys.js";
import { Limits } from "../../src-ts/server/access/limits.js";
import { BodyBudget } from "../../src-ts/server/bodies/budget.js";
import type { ServerContext } from "../../src-ts/server/context.js";
import { resolveOptions } from "../../src-ts/server/options.js";
import { Session } from "../../src-ts/server/websocket/session.js";
import type { Launcher } from "../../src-ts/worker/launcher.js";
import { launcherOf } from "../support/launching.js";
import type { MemoryDisk } from "../support/memory-disk.js";
import type { Random } from "./random.js";
import { Owner, ProcessClock } from "./timeline.js";
import type { Wire } from "./wire.js";
import { SimProcess, type WorkerWorld } from "./worker.js";

/** The limits of one life; small, so that they are met. */
export interface ServerPlan {
  engine: EngineOptions;
  /** Undefined: stored responses are kept in memory alone. */
  segmentBytesMax: number | undefined;
  resumeGraceMs: number;
  writeBufferBytesMax: number;
  lagEntriesMax: number;
}

/** What the world is told. */
export interface ServerWorld extends WorkerWorld {
  wallOffset(): number;
  diskMs(): number;
  /** Whether a rejected event may be a worker's lie. */
  mayLie(): boolean;
  booted(server: SimServer): void;
}

export class SimServer {
  readonly engine: WorkerEngine;
  readonly processes: SimProcess[] = [];
  isListening = false;
  isDraining = false;
  private readonly context: ServerContext;
  private readonly sessions = new Map<Wire, Session>();

  private constructor(
    readonly number: number,
    readonly owner: Owner,
    private readonly world: ServerWorld,
    plan: ServerPlan,
    private readonly clock: ProcessClock,
    random: Random,
    journal: SegmentJournal | undefined,
  ) {
    let ids = 0;
    this.engine = new WorkerEngine(plan.engine, {
      clock,
      ids: { response: (prefix) => `${prefix}_s${number}r${++ids}` },
      random: random.next,
      launcher: this.launcher(),
      journal,
    });
    const { writeBufferBytesMax, lagEntriesMax, resumeGraceMs } = plan;
    const limits = { writeBufferBytesMax, lagEntriesMax };
    const config = resolveOptions({ resumeGraceMs, limits });
    const keys = new Keys(fixedKeys([]));
    this.context = {
      engine: new Gate(this.engine, keys, new Limits(undefined, () => {})),
      keys,
      bodies: new BodyBudget(config.limits),
      config,
      logger: this.logger(),
      now: () => clock.now(),
    };
    this.watch();
  }

  /** By its own clock. */
  get now(): number {
    return this.clock.now();
  }

  /** Resolves when it listens; workers load after that. */
  static async boot(
    number: number,
    world: ServerWorld,
    plan: ServerPlan,
    random: Random,
    disk: MemoryDisk,
  ): Promise<SimServer> {
    const owner = new Owner();
    const clock = new ProcessClock(world.timeline, owner, world.wallOffset);
    disk.faults.delay = () =>
      new Promise((resolve) => world.timeline.after(world.diskMs(), resolve, owner));
    const journal =
      plan.segmentBytesMax === undefined
        ? undefined
        : new SegmentJournal({
            disk,
            clock,
            random: random.next,
            fsync: false,
            segmentBytesMax: plan.segmentBytesMax,
            recovered: await recover(disk),
            release: () => {},
            log: (level, message) => world.trace(`journal ${level}: ${message}`),
          });
    const server = new SimServer(number, owner, world, plan, clock, random, journal);
    server.engine.start();
    server.isListening = true;
    world.booted(server);
    return server;
  }

  /** SIGKILL: nothing of it happens any more. */
  kill(): void {
    this.owner.alive = false;
    this.isListening = false;
    for (const process of this.processes) process.alive = false;
    for (const wire of this.sessions.keys()) wire.serverDied();
  }

  /** SIGTERM, as the program does it. Resolves when the process has ended. */
  async terminate(graceMs: number): Promise<void> {
    this.isDraining = true;
    await this.engine.drain(graceMs);
    for (const session of this.sessions.values()) session.close(closeCodes.restart, "closing");
    await this.engine.close();
    this.kill();
  }

  open(ws: WebSocket, socket: Duplex, wire: Wire): Session {
    const identity = { owner: "open", clientId: "address:sim" };
    const asked = { wantsNotices: true, speaksBeta: false };
    const origin = { requestId: "req" };
    const start = { ws, socket, identity, requestId: "req", origin, ...asked };
    const session = new Session(this.context, start);
    this.sessions.set(wire, session);
    return session;
  }

  closed(wire: Wire): void {
    this.sessions.delete(wire);
  }

  private launcher(): Launcher {
    return launcherOf((spec, events) => {
      const pid = 1_000 * this.number + this.processes.length;
      const process = new SimProcess(spec, events, this.world, this.owner, pid);
      this.processes.push(process);
      return process;
    });
  }

  private watch(): void {
    this.engine.onDraining((graceMs) => {
      for (const session of this.sessions.values()) session.drain(graceMs);
    });
    this.engine.observe({
      rejection: ({ machine, kind, state, event }) => {
        this.world.trace(`${machine} ${kind}: ${event} while ${state}`);
        if (kind === "illegal" && !this.world.mayLie())
          this.world.violated(`${machine}: illegal ${event} while ${state}`);
      },
      workerState: ({ workerId, from, to, epoch }) =>
        this.world.trace(`${workerId}/${epoch} is ${to}, was ${from}`),
    });
  }

  private logger(): ServerContext["logger"] {
    const ignore = (): void => {};
    const error = (fields: { err?: Error }, message: string): void => {
      this.world.violated(`${message}: ${fields.err?.stack}`);
    };
    return { debug: ignore, info: ignore, warn: ignore, error: error as never };
  }
}
