/**
 * One process a folder: a file that names its holder. A holder that is gone, killed or on a machine
 * that was restarted, holds nothing. Knows nothing of what is in the folder.
 */
import { randomUUID } from "node:crypto";
import {
  linkSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";

/** Somebody else has the folder. */
export class FolderInUse extends Error {
  override readonly name = "FolderInUse";

  constructor(readonly holder: Holder) {
    super(`in use by process ${holder.pid} on ${holder.host}`);
  }
}

export interface Holder {
  pid: number;
  host: string;
  /** When the process began, by its own system; tells it from a later one with its pid. "" if unknown. */
  startedAt: string;
  token: string;
}

export const lockName = "lock";
const heartbeatMs = 5_000;
/** A holder on another machine that hasn't touched its lock for so long is gone. */
const staleAfterMs = 20_000;
/** Taking a stale lock away may be somebody else's luck; so often it is tried. */
const triesMax = 10;

/** Throws FolderInUse. The result gives it back. */
export function lockFolder(folder: string): () => void {
  const path = join(folder, lockName);
  const own: Holder = {
    pid: process.pid,
    host: hostname(),
    startedAt: startOf(process.pid),
    token: randomUUID(),
  };
  takeLock(path, own);
  const heartbeat = setInterval(() => touch(path), heartbeatMs);
  heartbeat.unref();
  return () => {
    clearInterval(heartbeat);
    if (readHolder(path)?.token === own.token) rmSync(path, { force: true });
  };
}

function takeLock(path: string, own: Holder): void {
  for (let tries = 0; tries < triesMax; tries++) {
    if (create(path, own)) return;
    const holder = readHolder(path);
    if (holder === undefined) continue;
    if (!isGone(path, holder)) throw new FolderInUse(holder);
    takeAway(path, holder);
  }
  throw new FolderInUse(readHolder(path) ?? { ...own, token: "" });
}

/** A link, since a file appears before its content does. */
function create(path: string, holder: Holder): boolean {
  const draft = `${path}.${holder.token}`;
  writeFileSync(draft, JSON.stringify(holder), { mode: 0o600 });
  try {
    linkSync(draft, path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  } finally {
    rmSync(draft, { force: true });
  }
}

/** Undefined when it was given back meanwhile. What we have not written is nobody's. */
function readHolder(path: string): Holder | undefined {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
  try {
    return JSON.parse(text) as Holder;
  } catch {
    return { pid: 0, host: "", startedAt: "", token: text };
  }
}

function isGone(path: string, holder: Holder): boolean {
  if (holder.host === hostname()) return !isRunning(holder);
  const touchedAt = statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  return Date.now() - touchedAt > staleAfterMs;
}

function isRunning({ pid, startedAt }: Holder): boolean {
  if (startedAt !== "") return startOf(pid) === startedAt;
  // Where the system doesn't tell, the pid alone has to do.
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

/** On Linux: the boot and the tick in it. Elsewhere, and where there is no such process, "". */
function startOf(pid: number): string {
  try {
    const boot = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
    // The name in parentheses may hold anything; the start is the 20th field after it.
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    // A zombie holds nothing any more.
    return fields[0] === "Z" ? "" : `${boot}/${fields[19]}`;
  } catch {
    return "";
  }
}

/** Two may find it stale: only the one that moves the very file it judged takes it away. */
function takeAway(path: string, holder: Holder): void {
  const aside = `${path}.stale-${process.pid}-${randomUUID()}`;
  try {
    renameSync(path, aside);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return;
    throw error;
  }
  const moved = readHolder(aside);
  if (moved !== undefined && moved.token !== holder.token) create(path, moved);
  rmSync(aside, { force: true });
}

function touch(path: string): void {
  const now = new Date();
  try {
    utimesSync(path, now, now);
  } catch (error) {
    // Removed by hand: there is nothing to keep fresh.
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  }
}
