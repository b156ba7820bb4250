/** What a run does: the mixed load with faults drawn at random, or so many kills under steady streams. */
import { setTimeout as sleep } from "node:timers/promises";
import { runBadClient } from "./clients/bad.mjs";
import { runChat } from "./clients/chat.mjs";
import { runLanes } from "./clients/lanes.mjs";
import { runEventStreams, runReader } from "./clients/sse.mjs";
import { faultWeights } from "./faults.mjs";

const secondMs = 1_000;
const minuteMs = 60_000;
const killStreams = 16;
const nobodyBusyMs = 50;
const nobodyBusyMsMax = 120_000;

/** @param {import("./options.mjs").SoakOptions} options */
export function modeOf(options) {
  const { kills, serverKills } = options;
  if (kills !== undefined) return killMode(options, kills);
  if (serverKills !== undefined) return serverKillMode(options, serverKills);
  return mixedMode(options);
}

function mixedMode({ engine, minutes, faultEvery, faults, maxBatch }) {
  const isFake = engine === "fake";
  const weights = faults ?? (isFake ? faultWeights : { workerKill: 1 });
  const everyMs = faultEvery ?? (isFake ? secondMs : 10 * secondMs);
  const workers = isFake ? ["--workers", "2", "--spare-workers", "1"] : [];
  return {
    what: `${minutes} minutes of mixed load, ${engine} engine, a fault about every ${everyMs} ms`,
    flags: [...workers, "--max-batch", String(maxBatch ?? (isFake ? 16 : 1))],
    clients: (world) => [
      ...[0, 1].map(() => runLanes(world, { lanes: isFake ? 4 : 2 })),
      ...[0, 1, 2].map(() => runEventStreams(world)),
      ...["chat", "chat", "completions"].map((api) => runChat(world, api)),
      runReader(world),
      runBadClient(world),
    ],
    async disturb(faults, world) {
      setTimeout(() => {
        world.stopping = true;
      }, minutes * minuteMs);
      await faults.run(everyMs, weights);
    },
  };
}

function killMode({ engine, maxBatch = 1 }, count) {
  // So many that none dies too often to be started again.
  const workers = engine === "fake" ? ["--workers", "4"] : ["--spare-workers", "1"];
  return {
    what: `${count} SIGKILLs of the worker under ${killStreams} streams, ${engine} engine, --max-batch ${maxBatch}`,
    flags: ["--max-batch", String(maxBatch), ...workers],
    clients: (world) => [runLanes(world, { lanes: killStreams, plain: true, stored: 0.5 })],
    disturb: (faults, world) =>
      times(count, world, async () => {
        await sleep(faults.chance.between(50, 1_200));
        await untilDone(() => faults.killWorker());
      }),
  };
}

function serverKillMode({ engine, maxBatch = engine === "fake" ? 16 : 1 }, count) {
  return {
    what: `${count} SIGKILLs of the server under ${killStreams} stored streams, ${engine} engine`,
    flags: ["--max-batch", String(maxBatch)],
    clients: (world) => [runLanes(world, { lanes: killStreams, plain: true, stored: 1 })],
    disturb: (faults, world) =>
      times(count, world, async () => {
        await sleep(faults.chance.between(50, 2_000));
        await faults.restartServer("serverKill");
      }),
  };
}

async function times(count, world, disturb) {
  for (let i = 1; i <= count && !world.stopping; i++) {
    await disturb();
    if (i % 10 === 0) world.ledger.say(`${i} of ${count}`);
  }
  world.stopping = true;
}

async function untilDone(attempt) {
  const untilMs = performance.now() + nobodyBusyMsMax;
  while (!(await attempt())) {
    if (performance.now() > untilMs) throw new Error("No worker has been busy for a long time.");
    await sleep(nobodyBusyMs);
  }
}
