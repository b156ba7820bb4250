/**
 * `npm run soak`: a mixed load on the real program while it, its workers and its connections are killed,
 * stopped and broken. Every answer is compared with that of an undisturbed run. Prints what it saw; exit
 * code 1 if a promise was broken.
 *
 *   npm run soak -- --minutes 10
 *   npm run soak -- --kills 200 --max-batch 16
 *   npm run soak -- --faults workerKill,cut,reset --minutes 30     the server lives: its memory tells more
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { interruptible } from "../setup/clone/interrupt.mjs";
import { setupFolder } from "../setup/clone/node.mjs";
import { setUp } from "../setup/clone/setup.mjs";
import { packageRoot } from "../setup/paths.mjs";
import { Chance } from "./lib/chance.mjs";
import { Faults } from "./lib/soak/faults.mjs";
import { Ledger } from "./lib/soak/ledger.mjs";
import { MemoryWatch } from "./lib/soak/memory.mjs";
import { modeOf } from "./lib/soak/modes.mjs";
import { parseCommandLine, usage } from "./lib/soak/options.mjs";
import { Pauses } from "./lib/soak/pauses.mjs";
import { Program } from "./lib/soak/program.mjs";
import { Relay } from "./lib/soak/relay.mjs";
import { reportOf, resultOf } from "./lib/soak/report.mjs";
import { makeTasks, undisturbed } from "./lib/soak/texts.mjs";
import { World } from "./lib/soak/world.mjs";

const taskSizes = {
  fake: { count: 24, tokensMin: 20, tokensMax: 160 },
  mlx: { count: 8, tokensMin: 8, tokensMax: 40 },
};
const commonFlags = ["--drain-timeout", "500ms", "--retention-bytes", "32MiB"];
const fakeFlags = ["--engine", "fake", "--fake-tokens-per-second", "100"];
const retentionFlags = ["--retention-age", "60s", "--log-level", "warn", "--max-queue", "64"];
/** Below the ports that systems give to outgoing connections: it is still free at the next start. */
const [portMin, portMax] = [20_000, 30_000];

const say = (text) => process.stderr.write(`${text}\n`);
const fromDist = (...path) =>
  import(pathToFileURL(join(packageRoot, "dist", "src-ts", ...path)).href);

const options = optionsOrExit();
await interruptible(async (signal) => {
  await setUp({ model: options.engine === "mlx", native: options.engine === "mlx", signal });
  const folder = mkdtempSync(join(tmpdir(), "mlx-serving-soak-"));
  try {
    process.exitCode = await soak(folder, signal);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

function optionsOrExit() {
  try {
    const parsed = parseCommandLine(process.argv.slice(2));
    if (parsed !== "help") return parsed;
    process.stdout.write(usage);
    process.exit(0);
  } catch (error) {
    process.stderr.write(`${error.message}\n${usage}`);
    process.exit(2);
  }
}

/** @returns {Promise<number>} The exit code. */
async function soak(folder, signal) {
  const mode = modeOf(options);
  say(`${mode.what}, seed ${options.seed}`);
  const world = await makeWorld(folder, mode);
  signal.addEventListener("abort", () => {
    world.stopping = true;
  });
  const { treeMemory } = await fromDist("bench", "memory.js");
  const faults = new Faults(world);
  world.program.onDeath = (how) => void faults.serverDied(how);
  const memory = new MemoryWatch(world.program, treeMemory);
  const startedAt = performance.now();
  try {
    await Promise.all([...mode.clients(world), mode.disturb(faults, world)]);
  } finally {
    memory.stop();
    await world.relay.close();
    await world.program.end();
  }
  const seconds = (performance.now() - startedAt) / 1000;
  const { seed, json } = options;
  const run = { ...{ seed, seconds, memory }, what: mode.what, restarts: faults.restarts };
  process.stdout.write(reportOf(world, run));
  if (json !== undefined) writeFileSync(json, `${JSON.stringify(resultOf(world, run), null, 1)}\n`);
  return world.ledger.brokenCount === 0 ? 0 : 1;
}

/** A server, what it answers undisturbed, and the way to it. */
async function makeWorld(folder, mode) {
  const { engine, seed } = options;
  const chance = new Chance(seed);
  const ledger = new Ledger(say);
  const port = await freePort(chance.fork());
  const relay = new Relay(port);
  await relay.listen();
  const flags = [...commonFlags, ...retentionFlags, ...(engine === "fake" ? fakeFlags : [])];
  const names = ["--allowed-hosts", `127.0.0.1:${relay.port}`, "--data-dir", folder];
  mkdirSync(setupFolder, { recursive: true });
  const program = new Program({
    ...{ port, flags: [...flags, ...names, ...mode.flags] },
    logFile: join(setupFolder, "soak-server.log"),
    onDeath: (how) => say(`the server ${how}`),
  });
  await program.start();
  const tasks = makeTasks({ ...taskSizes[engine], seed });
  say("asking undisturbed …");
  const answers = await undisturbed(program.url, tasks);
  const { connectWith } = await fromDist("client", "client.js");
  const { platformPorts } = await fromDist("client", "platform.js");
  const library = { connectWith, platformPorts };
  const parts = { url: relay.url, program, relay, library, tasks, answers, chance, ledger };
  return new World({ ...parts, pauses: new Pauses() });
}

async function freePort(chance) {
  for (;;) {
    const port = chance.integer(portMin, portMax);
    const server = createServer();
    const isFree = await new Promise((resolve) => {
      server.on("error", () => resolve(false));
      server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
    });
    if (isFree) return port;
  }
}
