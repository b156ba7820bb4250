/**
 * `npm run observability`: a real Prometheus scrapes the real server under load while its workers are killed. Checks
 * the rules, and what each alert fires for; asks it every query of the dashboard and the alerts, and wants data.
 * Exit code 1 if one has none that should have, or an alert is not what it should be.
 *
 *   npm run observability -- --seconds 40 --engine mlx
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { parse, stringify } from "yaml";
import { interruptible } from "../setup/clone/interrupt.mjs";
import { setUp } from "../setup/clone/setup.mjs";
import { commandLine, packageRoot } from "../setup/paths.mjs";
import { run } from "../setup/process.mjs";
import { fakeScript, Load, startCollector } from "./lib/observability/load.mjs";
import { findPrometheus, Prometheus } from "./lib/observability/prometheus.mjs";
import { dashboardQueries, folder, silenceOf } from "./lib/observability/queries.mjs";

const keys = { admin: "sk-admin", user: "sk-user", limited: "sk-limited" };
/** `fires`: the alerts that must, since workers die so often; all others must not. */
const loads = {
  fake: { streams: 8, deaths: 5, fires: ["MlxServingWorkersDying"] },
  // A model takes long to load, and two workers of it share the machine.
  mlx: { streams: 2, deaths: 1, fires: [] },
};

const { values: options } = parseArgs({
  options: {
    seconds: { type: "string", default: "40" },
    engine: { type: "string", default: "fake" },
  },
});
const { streams, deaths, fires } = loads[options.engine];
const say = (text) => process.stdout.write(`${text}\n`);
const pause = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));

await interruptible(async (signal) => {
  await setUp({ model: options.engine === "mlx", native: false, signal });
  const programs = await findPrometheus(signal);
  await checkRules(programs.promtool, signal);
  const temporary = mkdtempSync(join(tmpdir(), "mlx-serving-observability-"));
  try {
    process.exitCode = (await watch(programs.prometheus, temporary)) ? 0 : 1;
  } finally {
    rmSync(temporary, { recursive: true, force: true });
  }
});

/** Also what each alert fires for, in series that are written down. */
async function checkRules(promtool, signal) {
  const rules = join(folder, "prometheus-alerts.yml");
  const cases = join(packageRoot, "tests", "fixtures", "observability", "alerts.yml");
  say((await run(promtool, ["check", "rules", rules], { signal })).trim());
  say((await run(promtool, ["test", "rules", cases], { signal })).trim());
}

async function watch(program, temporary) {
  const collector = await startCollector();
  const server = await startServer(temporary, collector.url);
  const prometheus = await Prometheus.start(program, {
    config: writeConfig(temporary, new URL(server.url).host),
    data: join(temporary, "prometheus"),
  });
  try {
    const load = new Load(server.url, keys);
    const running = load.run(streams);
    const seconds = Number(options.seconds);
    // One before the first scrape has no effect on what is compared with before.
    for (let death = 0; death < deaths; death++) {
      await pause(seconds / (deaths + 1));
      await load.killWorker();
    }
    await pause(seconds / (deaths + 1));
    const isGood = await report(prometheus);
    load.stop();
    await running;
    say(`${load.answers} answers.`);
    return isGood;
  } finally {
    await prometheus.stop();
    await server.stop();
    collector.stop();
  }
}

async function report(prometheus) {
  const mistakes = [];
  const [target] = await prometheus.targets();
  if (target.health !== "up") mistakes.push(`the scrape fails: ${target.lastError}`);
  for (const { title, expr } of dashboardQueries()) {
    const series = await prometheus.query(expr).catch((error) => error);
    const told = describe(series);
    const silence = silenceOf(expr, options.engine);
    say(
      `${silence === undefined ? "  " : "- "}${title.padEnd(52)} ${told ?? silence ?? "nothing"}`,
    );
    if (series instanceof Error) mistakes.push(`${title}: ${series.message}`);
    else if ((told === undefined) !== (silence !== undefined))
      mistakes.push(`${title}: ${told ?? "no data"}`);
  }
  for (const { name, state, health, lastError } of await prometheus.alerts()) {
    say(`  ${name.padEnd(52)} ${state}`);
    if (health !== "ok") mistakes.push(`${name}: ${lastError}`);
    if ((state === "firing") !== fires.includes(name)) mistakes.push(`${name} is ${state}`);
  }
  for (const mistake of mistakes) say(`NOT AS IT SHOULD BE: ${mistake}`);
  return mistakes.length === 0;
}

/** Undefined: no number in it. */
function describe(series) {
  if (series instanceof Error) return series.message;
  const numbers = series.map(({ value: [, value] }) => Number(value)).filter(Number.isFinite);
  if (numbers.length === 0) return undefined;
  return `${series.length} series, ${numbers
    .slice(0, 4)
    .map((n) => Number(n.toPrecision(3)))
    .join(" ")}`;
}

function writeConfig(temporary, host) {
  const config = parse(readFileSync(join(folder, "prometheus.yml"), "utf8"));
  const [scrape] = config.scrape_configs;
  scrape.static_configs = [{ targets: [host] }];
  scrape.authorization = { credentials: keys.admin };
  config.global = { scrape_interval: "1s", evaluation_interval: "2s" };
  config.rule_files = [join(folder, "prometheus-alerts.yml")];
  const path = join(temporary, "prometheus.yml");
  writeFileSync(path, stringify(config));
  return path;
}

async function startServer(temporary, collector) {
  const path = (name, text) => {
    writeFileSync(join(temporary, name), text);
    return join(temporary, name);
  };
  const keyFile = path(
    "keys",
    `${keys.admin} name=admin admin=yes\n${keys.user} name=user\n${keys.limited} name=limited requests-per-minute=1\n`,
  );
  const ofEngine =
    options.engine === "fake"
      ? [
          ...["--fake-tokens-per-second", "200"],
          ...["--fake-script", path("script.json", JSON.stringify(fakeScript))],
        ]
      : [];
  const flags = [
    ...["--port", "0", "--engine", options.engine, "--workers", "2", "--log-level", "error"],
    ...["--data-dir", join(temporary, "data"), "--api-key-file", keyFile],
    ...["--otlp-endpoint", collector, ...ofEngine],
  ];
  const child = spawn(process.execPath, [commandLine, "serve", ...flags], {
    stdio: ["ignore", "pipe", "inherit"],
    env: { ...process.env, OTEL_METRIC_EXPORT_INTERVAL: "2000", OTEL_BSP_SCHEDULE_DELAY: "500" },
  });
  const exited = once(child, "exit");
  const [line] = await Promise.race([
    once(child.stdout.setEncoding("utf8"), "data"),
    exited.then(([code]) => Promise.reject(new Error(`the server ended with ${code}`))),
  ]);
  return {
    url: /ready on (\S+)/.exec(line)[1],
    async stop() {
      child.kill("SIGTERM");
      await exited;
    },
  };
}
