/**
 * Where the processor time of our workers goes while a load runs: Linux's `perf` samples them, and what it says is
 * kept as text, a file for each load.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run } from "../../setup/process.mjs";
import { Unavailable } from "./peers/process.mjs";

// No divisor of any period of a program's own.
const samplesPerSecond = 199;
const shareMin = 0.005;

export class Profiler {
  /**
   * @param {{ folder: string, signal: AbortSignal, perf?: string }} options `folder`: it is there; `perf`: the
   *   program.
   */
  constructor({ folder, signal, perf = "perf" }) {
    this.folder = folder;
    this.signal = signal;
    this.perf = perf;
  }

  /**
   * Runs `load` while the processes below `pid` are sampled. Throws Unavailable where that can't be.
   * @template T
   * @param {{ pid: number, id: string, title: string, load: () => Promise<T> }} what
   * @returns {Promise<T>}
   */
  async during({ pid, id, title, load }) {
    const workers = childrenOf(pid);
    if (workers.length === 0) throw new Unavailable("there is no worker to look at");
    const folder = mkdtempSync(join(tmpdir(), "mlx-serving-profile-"));
    const data = join(folder, "perf.data");
    try {
      const recording = await this.#record(workers, data);
      const result = await load().finally(() => end(recording));
      const lines = sharesOf(await this.#report(data));
      writeFileSync(join(this.folder, `${id}.txt`), pageOf({ title, lines }));
      return result;
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }

  async #record(pids, data) {
    const rate = ["--freq", String(samplesPerSecond)];
    const args = ["record", ...rate, "--pid", pids.join(","), "--output", data];
    const child = spawn(this.perf, args, { stdio: "ignore" });
    await once(child, "spawn").catch((error) => {
      throw new Unavailable(`--profile needs Linux's perf: ${error.message}`);
    });
    return child;
  }

  #report(data) {
    const how = ["--stdio", "--quiet", "--no-children", "--sort", "dso,symbol"];
    return run(this.perf, ["report", "--input", data, ...how], { signal: this.signal });
  }
}

/** It writes its file at SIGINT. */
async function end(recording) {
  if (recording.exitCode !== null) return;
  const exited = once(recording, "exit");
  recording.kill("SIGINT");
  await exited;
}

/** @returns {number[]} */
function childrenOf(pid) {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8");
  return children.trim().split(/\s+/).filter(Boolean).map(Number);
}

/**
 * @param {string} report Of `perf report`, sorted by file and symbol.
 * @returns {{ share: number, file: string, symbol: string }[]}
 */
export function sharesOf(report) {
  return report.split("\n").flatMap((line) => {
    // Some versions of perf add columns of inlined functions, which are empty.
    const [, percent, file, symbol] =
      /^\s*([\d.]+)%\s+(\S+)\s+\[[.k]\]\s+(.*?)(?:\s+-)*\s*$/.exec(line) ?? [];
    const share = Number(percent) / 100;
    return percent !== undefined && share >= shareMin ? [{ share, file, symbol }] : [];
  });
}

/** @param {{ title: string, lines: ReturnType<typeof sharesOf> }} profile */
export function pageOf({ title, lines }) {
  const shown = lines.map(
    ({ share, file, symbol }) => `${(100 * share).toFixed(1).padStart(5)} %  ${file}  ${symbol}`,
  );
  return `${title}: share of the workers' processor time, ${samplesPerSecond} samples a second\n\n${shown.join("\n")}\n`;
}
