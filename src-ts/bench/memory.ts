/** Resident memory of a process and all its descendants, read from outside. Linux and macOS. */
import { execFile } from "node:child_process";
import { readdir, readFile } from "node:fs/promises";
import { promisify } from "node:util";

const run = promisify(execFile);

interface ProcessInfo {
  pid: number;
  parentPid: number;
  residentBytes: number;
}

/** Bytes, where pages that processes share count once for each. */
export interface TreeMemory {
  /** Of the process itself. */
  ownBytes: number;
  /** With all its descendants. */
  treeBytes: number;
}

async function readProc(pid: string): Promise<ProcessInfo[]> {
  try {
    const status = await readFile(`/proc/${pid}/status`, "utf8");
    const field = (name: string) =>
      Number(new RegExp(`^${name}:\\s*(\\d+)`, "m").exec(status)?.[1] ?? 0);
    return [{ pid: Number(pid), parentPid: field("PPid"), residentBytes: field("VmRSS") * 1024 }];
  } catch {
    // Processes end while the list is read.
    return [];
  }
}

async function processes(): Promise<ProcessInfo[]> {
  if (process.platform === "linux") {
    const names = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
    return (await Promise.all(names.map(readProc))).flat();
  }
  const { stdout } = await run("ps", ["-A", "-o", "pid=,ppid=,rss="]);
  return stdout
    .trim()
    .split("\n")
    .map((line) => line.trim().split(/\s+/).map(Number))
    .map(([pid, parentPid, kib]) => ({
      pid: pid!,
      parentPid: parentPid!,
      residentBytes: kib! * 1024,
    }));
}

/** Undefined if there is no such process. */
export async function treeMemory(pid: number): Promise<TreeMemory | undefined> {
  const all = await processes();
  const root = all.find((info) => info.pid === pid);
  if (root === undefined) return undefined;
  const members = [root];
  for (const member of members) {
    members.push(...all.filter(({ parentPid }) => parentPid === member.pid));
  }
  const treeBytes = members.reduce((sum, { residentBytes }) => sum + residentBytes, 0);
  return { ownBytes: root.residentBytes, treeBytes };
}

/** Samples a process tree until stopped. */
export class MemorySampler {
  #peak: TreeMemory = { ownBytes: 0, treeBytes: 0 };
  #timer: NodeJS.Timeout;
  #sampling: Promise<void> = Promise.resolve();
  readonly #pid: number;

  constructor(pid: number, periodMs = 250) {
    this.#pid = pid;
    this.#timer = setInterval(() => {
      this.#sampling = this.#sample();
    }, periodMs);
  }

  /** The highest that was seen. */
  async stop(): Promise<TreeMemory> {
    clearInterval(this.#timer);
    await this.#sampling;
    await this.#sample();
    return this.#peak;
  }

  async #sample(): Promise<void> {
    const now = await treeMemory(this.#pid);
    if (now === undefined) return;
    this.#peak = {
      ownBytes: Math.max(this.#peak.ownBytes, now.ownBytes),
      treeBytes: Math.max(this.#peak.treeBytes, now.treeBytes),
    };
  }
}
