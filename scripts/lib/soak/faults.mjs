/** Faults: one after another, drawn at random, each written into the ledger before it happens. */
import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

/** How often each is drawn, of all. */
export const faultWeights = {
  workerKill: 20,
  workerStop: 10,
  cut: 22,
  reset: 22,
  garbage: 14,
  serverKill: 6,
  serverStop: 6,
};

/** A worker that dies twenty times within a minute is given up for a while, as it should be. */
const deathsMax = 18;
const windowMs = 60_000;
const stopMsMax = 3_000;
/** Longer than the watchdog's patience. */
const longStopMs = 12_000;
const longStops = 0.15;
const garbageBytesMax = 4_000;

export class Faults {
  /** How long each start of the server took, in ms. */
  restarts = [];
  #deaths = new Map();

  /** @param {import("./world.mjs").World} world */
  constructor(world) {
    this.world = world;
    this.chance = world.chance.fork();
    this.kinds = {
      workerKill: () => this.killWorker(),
      workerStop: () => this.stopWorker(),
      cut: () => this.breakConnections("cut"),
      reset: () => this.breakConnections("reset"),
      garbage: () => this.sendGarbage(),
      serverKill: () => this.restartServer("serverKill"),
      serverStop: () => this.restartServer("serverStop"),
    };
  }

  /** Until the world stops: a fault, and `everyMs` later the next. @param {Record<string, number>} weights */
  async run(everyMs, weights) {
    while (!this.world.stopping) {
      await sleep(everyMs * this.chance.between(0.5, 1.5));
      if (!this.world.stopping) await this.kinds[this.chance.weighted(weights)]();
    }
  }

  /** False if no worker was busy that may die now. */
  async killWorker() {
    const worker = await this.#busyWorker();
    if (worker === undefined) return false;
    const { pid, id, decoding } = worker;
    const end = this.world.ledger.fault("workerKill", `${id}, pid ${pid}, ${decoding} decoding`);
    this.#noteDeath(id);
    signal(pid, "SIGKILL");
    end();
    return true;
  }

  async stopWorker() {
    const worker = await this.#busyWorker();
    if (worker === undefined) return;
    const { pid, id } = worker;
    const ms = this.chance.in(longStops) ? longStopMs : this.chance.between(100, stopMsMax);
    const end = this.world.ledger.fault("workerStop", `${id}, pid ${pid}, for ${ms.toFixed(0)} ms`);
    if (ms === longStopMs) this.#noteDeath(id);
    signal(pid, "SIGSTOP");
    sleep(ms).then(() => {
      signal(pid, "SIGCONT");
      end();
    });
  }

  async breakConnections(how) {
    const share = this.chance.next();
    const end = this.world.ledger.fault(how, "");
    const count = this.world.relay.break(how, () => this.chance.in(share));
    this.world.ledger.faults.at(-1).detail = `${count} connections`;
    end();
  }

  /** Bytes that are no HTTP, or the beginning of some, on a connection of their own. */
  async sendGarbage() {
    const end = this.world.ledger.fault("garbage", "");
    const socket = connect(this.world.program.port, "127.0.0.1");
    socket.on("error", () => {});
    const bytes = Uint8Array.from({ length: this.chance.integer(1, garbageBytesMax) }, () =>
      this.chance.integer(0, 255),
    );
    const start = this.chance.pick([
      "",
      "GET / HTTP/1.1\r\n",
      "POST /v1/responses HTTP/1.1\r\nHost: ",
    ]);
    socket.write(start);
    socket.write(bytes);
    await sleep(this.chance.between(0, 200));
    socket.destroy();
    end();
  }

  /** Kills or stops it, and starts it again on the same port and folder. */
  async restartServer(kind) {
    const { program, ledger } = this.world;
    const end = ledger.fault(kind, `pid ${program.pid}`);
    if (kind === "serverKill") await program.kill();
    else await this.#terminate();
    this.#deaths.clear();
    await this.startServer();
    end();
  }

  /** It ended by itself, which is a broken promise; the run goes on with another one. */
  async serverDied(how) {
    const { ledger, program } = this.world;
    const end = ledger.fault("serverDeath", how);
    const context = { tail: program.tail };
    ledger.breach("server", `it ${how}`, { since: performance.now(), context });
    await this.startServer();
    end();
  }

  async startServer() {
    const startedAt = performance.now();
    await this.world.program.start();
    this.restarts.push(performance.now() - startedAt);
  }

  async #terminate() {
    const { program, ledger } = this.world;
    const since = performance.now();
    const how = await program.terminate();
    if (how === "ended with 0") return;
    ledger.breach("server", `after SIGTERM it ${how}`, { since, context: { tail: program.tail } });
  }

  async #busyWorker() {
    const now = performance.now();
    const workers = await this.world.program.workers();
    const busy = workers.filter(({ id, pid, decoding }) => {
      const recent = (this.#deaths.get(id) ?? []).filter((at) => now - at < windowMs);
      return pid && decoding > 0 && recent.length < deathsMax;
    });
    return busy.length === 0 ? undefined : this.chance.pick(busy);
  }

  #noteDeath(id) {
    this.#deaths.set(id, [...(this.#deaths.get(id) ?? []).slice(-deathsMax), performance.now()]);
  }
}

/** The process may have ended meanwhile. */
function signal(pid, name) {
  try {
    process.kill(pid, name);
  } catch (error) {
    if (error.code !== "ESRCH") throw error;
  }
}
