/** Results as text for people, and what a JSON file carries beside them. */
import { execFileSync, type StdioOptions } from "node:child_process";
import { readFileSync } from "node:fs";
import { cpus, totalmem } from "node:os";
import { fileURLToPath } from "node:url";
import { outColors as pc } from "../colors.js";
import type { LoadReport, TargetReport } from "./bench.js";
import type { Ratio } from "./comparison.js";
import type { IdleResult } from "./idle.js";
import type { BenchOptions } from "./options.js";
import type { Distribution, Summary } from "./statistics.js";

/** Above this share of its time the generator may be what limits the figures. */
const busyGeneratorMin = 0.9;

const columns = ["p50", "p95", "p99", "max"] as const;

function number(value: number): string {
  const digits = value >= 100 ? 0 : value >= 10 ? 1 : 2;
  return value.toLocaleString("en-US", {
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  });
}

export function mebibytes(bytes: number): string {
  return `${number(bytes / 2 ** 20)} MiB`;
}

function line(label: string, text: string): string {
  return `  ${label.padEnd(18)}${text}`;
}

function distributionLine(label: string, values: Distribution | null): string[] {
  if (values === null) return [];
  return [line(label, columns.map((name) => number(values[name]).padStart(10)).join(""))];
}

function failuresText({ requests, succeeded, failures }: Summary): string {
  const kinds = Object.entries(failures).map(([kind, count]) => `${count} × ${kind}`);
  const failed = requests - succeeded;
  const text = `${succeeded} succeeded, ${failed} failed`;
  return kinds.length === 0 ? text : pc.red(`${text}: ${kinds.join(", ")}`);
}

function targetLines(target: TargetReport): string[] {
  const { summary, rounds, peakMemory, addedLatency } = target;
  const lines = [
    pc.bold(`${target.url} · ${target.api}${target.model === null ? "" : ` · ${target.model}`}`),
    line("requests", failuresText(summary)),
    line("tokens/s", number(summary.tokensPerSecond) + spreadOf(rounds)),
    line("requests/s", number(summary.requestsPerSecond)),
    line(
      "prompt tokens",
      `${number(summary.promptTokens)} a request, ${number(summary.cachedTokens)} of them cached`,
    ),
  ];
  if (summary.withoutUsage > 0) {
    lines.push(pc.yellow(line("no usage from", `${summary.withoutUsage} requests`)));
  }
  if (peakMemory !== null) {
    const { ownBytes, treeBytes } = peakMemory;
    const text = `${mebibytes(treeBytes)}, ${mebibytes(ownBytes)} of it the process itself`;
    lines.push(line("peak memory", text));
  }
  lines.push(pc.dim(line("ms", columns.map((name) => name.padStart(10)).join(""))));
  lines.push(...distributionLine("TTFT", summary.ttftMs));
  lines.push(...distributionLine("inter-token", summary.interTokenMs));
  lines.push(...distributionLine("per token", summary.perTokenMs));
  lines.push(...distributionLine("end to end", summary.endToEndMs));
  if (addedLatency !== null) {
    lines.push(...distributionLine("added per token", addedLatency.addedMs));
    lines.push(...distributionLine("behind schedule", addedLatency.behindScheduleMs));
    if (addedLatency.streamsLeftOut > 0) {
      const text = `${addedLatency.streamsLeftOut} streams are not the fake engine's`;
      lines.push(pc.yellow(line("left out", text)));
    }
  }
  return lines;
}

function spreadOf(rounds: readonly Summary[]): string {
  if (rounds.length < 2) return "";
  const rates = rounds.map(({ tokensPerSecond }) => tokensPerSecond);
  return ` (rounds: ${number(Math.min(...rates))} to ${number(Math.max(...rates))})`;
}

// Only a figure that is better in every round is called better.
function ratioLine({ name, better, min, median, max }: Ratio): string {
  const cells = [min, median, max].map((value) => value.toFixed(3).padStart(10)).join("");
  const wins = better === "more" ? min > 1 : max < 1;
  return line(name, `${cells}   ${better} is better${wins ? pc.green(" ✓") : ""}`);
}

/** What a person reads. */
export function loadText({ targets, ratios, generatorUtilization }: LoadReport): string {
  const lines = targets.flatMap((target) => [...targetLines(target), ""]);
  if (ratios.length > 0) {
    lines.push(pc.bold("first ÷ second, round by round"));
    lines.push(pc.dim(line("", ["min", "median", "max"].map((n) => n.padStart(10)).join(""))));
    lines.push(...ratios.map(ratioLine), "");
  }
  if (generatorUtilization >= busyGeneratorMin) {
    const share = Math.round(generatorUtilization * 100);
    lines.push(
      pc.yellow(`This generator was busy ${share} % of the time: it may be the limit.`),
      "",
    );
  }
  return lines.join("\n");
}

export function idleText(result: IdleResult): string {
  const { sockets, beforeBytes, afterBytes, bytesPerSocket, openMs } = result;
  const first = result.requestFirstTextMs;
  return [
    pc.bold(`${sockets} idle sockets`),
    line("memory before", mebibytes(beforeBytes)),
    line("memory after", mebibytes(afterBytes)),
    line("per socket", `${number(bytesPerSocket / 1024)} KiB`),
    line("opened in", `${number(openMs)} ms`),
    line(
      "a request then",
      `${first === undefined ? "no text" : `first text after ${number(first)} ms`}, whole after ${number(result.requestMs)} ms`,
    ),
    "",
  ].join("\n");
}

/** Null outside of a clone of this project. */
function commit(): string | null {
  const cwd = fileURLToPath(new URL(".", import.meta.url));
  try {
    const args = ["rev-parse", "--show-toplevel", "HEAD"];
    const stdio: StdioOptions = ["ignore", "pipe", "ignore"];
    const [top, head] = execFileSync("git", args, { cwd, encoding: "utf8", stdio }).split("\n");
    const { name } = JSON.parse(readFileSync(`${top}/package.json`, "utf8"));
    return name === "mlx-serving" ? head! : null;
  } catch {
    return null;
  }
}

/** The measurement with what it takes to judge it: where, when, with what. Keys are left out. */
export function jsonReport(options: BenchOptions, result: LoadReport | IdleResult): object {
  const { apiKey: _key, vsApiKey: _vsKey, ...shown } = options;
  return {
    measuredAt: new Date().toISOString(),
    commit: commit(),
    machine: {
      platform: process.platform,
      arch: process.arch,
      cpus: cpus().length,
      cpu: cpus()[0]?.model ?? null,
      memoryBytes: totalmem(),
      node: process.version,
    },
    options: shown,
    ...result,
  };
}
