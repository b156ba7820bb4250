/** Runs scenarios: starts the servers, warms them up, and gives each its turn in every round. */
import { cpus, loadavg } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { absent, cellOf, ratiosOf } from "./outcomes.mjs";
import { Unavailable } from "./peers/process.mjs";

const warmUpTokens = 8;
const sampleMsDefault = 1_000;

/**
 * @param {{
 *   scenario: import("./scenarios/common.mjs").Scenario,
 *   size: import("./scenarios/common.mjs").Size,
 *   peers: readonly import("./peers/index.mjs").Peer[],
 *   rounds?: number,
 *   alone?: boolean,
 *   toolkit: import("./toolkit.mjs").Toolkit,
 *   signal: AbortSignal,
 *   say: (text: string) => void,
 *   sampleMs?: number,
 *   profiler?: import("./profile.mjs").Profiler,
 * }} options `alone`: a server runs in its turn only, where memory is scarce; default: all run, and take turns;
 *   `sampleMs`: how long other work on the machine is watched; `profiler`: looks at the first server in its first
 *   turn of each case, and leaves the others alone.
 * @returns {Promise<import("./outcomes.mjs").Measured>}
 */
export async function measureScenario(options) {
  const { scenario, size, peers, rounds = scenario.roundsDefault } = options;
  const busyBefore = await busyShare(options.sampleMs ?? sampleMsDefault);
  const contenders = peers.map((peer) => new Contender(peer, options));
  const cases = [];
  try {
    if (!scenario.startsServers && !options.alone) for (const one of contenders) await one.open();
    for (const test of scenario.cases(size))
      cases.push(await measureCase(test, contenders, { ...options, rounds }));
  } finally {
    for (const contender of contenders) await contender.close();
  }
  return {
    ...{ id: scenario.id, about: scenario.about, rounds, cases },
    busyBefore,
    loadAverage: loadavg()[0],
  };
}

/** How much of the machine others use, 0 to 1: to be asked while nothing of ours runs. */
async function busyShare(sampleMs) {
  const before = cpuTimes();
  await sleep(sampleMs);
  const after = cpuTimes();
  const all = after.all - before.all;
  return all > 0 ? 1 - (after.idle - before.idle) / all : 0;
}

function cpuTimes() {
  const times = cpus().map((cpu) => cpu.times);
  const sum = (of) => times.reduce((total, time) => total + of(time), 0);
  // Waiting for disks is counted as idle by some systems and not at all by others.
  return {
    all: sum((time) => Object.values(time).reduce((a, b) => a + b, 0)),
    idle: sum(({ idle }) => idle),
  };
}

async function measureCase(test, contenders, options) {
  const { rounds, alone, say } = options;
  say(`  ${test.title}`);
  for (const contender of contenders) contender.begin(test);
  for (let round = 1; round <= rounds; round++) {
    // Who goes first changes, so that none always runs on the warmer machine.
    const order = round % 2 === 1 ? contenders : contenders.toReversed();
    for (const contender of order) {
      await contender.takeTurn(test, round);
      if (alone) await contender.close();
    }
  }
  const servers = {};
  const ratios = {};
  const [ours] = contenders;
  for (const contender of contenders) {
    const { id } = contender.peer;
    servers[id] = await contender.end();
    if (contender === ours || !isWhole(servers[id]) || !isWhole(servers[ours.peer.id])) continue;
    ratios[id] = ratiosOf(ours.outcomes, contender.outcomes);
  }
  const { id, title, light = false, figures } = test;
  return { id, title, light, figures, servers, ratios };
}

/** What is left of a load whose requests failed is no load to compare. */
const isWhole = ({ reason, failures }) =>
  reason === undefined && Object.keys(failures).length === 0;

/** One server in a scenario: what it needs, whether it runs, what it has shown. */
class Contender {
  /** Of the case that runs. */
  outcomes = [];
  #reason;
  #caseReason;
  #server;
  #target;
  #sampler;
  #peakBytes = null;
  #options;
  #needs;

  constructor(peer, options) {
    this.peer = peer;
    this.#options = options;
    this.#needs = options.scenario.needs(options.size);
  }

  /** Starts it, if it runs not yet; what prevents that is its reason from then on. */
  async open() {
    if (this.#server !== undefined || this.#reason !== undefined) return;
    const { signal, toolkit, say } = this.#options;
    try {
      this.#server = await this.peer.start({ needs: this.#needs, signal });
      this.#target = toolkit.targetOf(this.#server);
      await this.#warmUp();
    } catch (error) {
      signal.throwIfAborted();
      this.#reason = reasonOf(error);
      say(`  ${this.peer.id}: ${this.#reason}`);
      await this.close();
    }
  }

  async #warmUp() {
    const { toolkit } = this.#options;
    const rows = this.peer.slow ? 1 : this.#needs.rows;
    const load = {
      ...{ streams: rows, maxTokens: this.peer.slow ? 2 : warmUpTokens },
      ...{ prompt: { tokens: 16 }, until: { requests: rows } },
    };
    const { records } = await toolkit.runClosedLoop(this.#target, load, 0, () => {});
    const { succeeded, failures } = toolkit.summarize(records, 1);
    if (succeeded > 0) return;
    throw new Unavailable(
      `no request to warm it up succeeded: ${Object.keys(failures).join(", ")}`,
    );
  }

  begin(test) {
    this.outcomes = [];
    const { scenario } = this.#options;
    if (this.peer.slow && !test.light) this.#caseReason = "too slow for it: see the light loads";
    else if (scenario.startsServers && this.peer.running)
      this.#caseReason = "it is not ours to start and stop";
    else this.#caseReason = undefined;
  }

  async takeTurn(test, round) {
    if (this.#caseReason !== undefined) return;
    const { scenario, signal, toolkit } = this.#options;
    signal.throwIfAborted();
    if (!scenario.startsServers) await this.open();
    if (this.#reason !== undefined) return;
    this.#watchMemory();
    const context = {
      ...{ target: this.#target, toolkit, round, signal, peer: this.peer, needs: this.#needs },
      ...{ url: this.#server?.url, kvBytes: this.#server?.kvBytes },
    };
    try {
      const outcome = await this.#watched(test, round, () => test.run(context));
      this.outcomes.push(outcome);
      const succeeded = outcome.records.some(({ failure }) => failure === undefined);
      // It will not do better the next time.
      if (!succeeded) this.#caseReason = "nothing succeeded";
    } catch (error) {
      signal.throwIfAborted();
      this.#caseReason = reasonOf(error);
    }
  }

  #watched({ id, title }, round, load) {
    const { profiler, peers } = this.#options;
    const pid = this.#server?.pid;
    const isLookedAt = round === 1 && this.peer === peers[0] && pid !== undefined;
    return profiler && isLookedAt ? profiler.during({ pid, id, title, load }) : load();
  }

  #watchMemory() {
    const pid = this.#server?.pid;
    if (pid !== undefined) this.#sampler ??= new this.#options.toolkit.MemorySampler(pid);
  }

  /** What it showed in the case that has ended. */
  async end() {
    await this.#noteMemory();
    const peak = this.#peakBytes;
    this.#peakBytes = null;
    const reason = this.#reason ?? this.#caseReason;
    if (this.outcomes.length === 0) return absent(reason ?? "it had no turn");
    const cell = cellOf(this.outcomes, peak, this.#options.toolkit);
    return reason === undefined || cell.reason !== undefined ? cell : { ...cell, reason };
  }

  async #noteMemory() {
    const memory = await this.#sampler?.stop();
    this.#sampler = undefined;
    if (memory !== undefined) this.#peakBytes = Math.max(this.#peakBytes ?? 0, memory.treeBytes);
  }

  async close() {
    await this.#noteMemory();
    await this.#target?.close();
    await this.#server?.stop();
    this.#target = undefined;
    this.#server = undefined;
  }
}

/** One line; what is no answer of a server's is a mistake of ours. */
function reasonOf(error) {
  if (error instanceof Unavailable || error.name === "SetupError") return error.message;
  throw error;
}
