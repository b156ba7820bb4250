/**
 * A lock file that two set-ups share: its holder touches it, so a holder that died (on this machine or
 * in a container beside it) is noticed. Advisory; the work it guards is atomic on its own.
 */
import {
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { hostname } from "node:os";
import { dirname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { throwIfAborted } from "./process.mjs";

const heartbeatMs = 2_000;
const staleAfterMs = 30_000;
const pollMs = 200;

/**
 * Waits until the lock is free, then takes it.
 * @param {string} path
 * @param {{ signal?: AbortSignal | undefined, onWait?: ((holder: string) => void) | undefined }} [options]
 * @returns {Promise<() => void>} Call it to release the lock.
 */
export async function acquireLock(path, options = {}) {
  mkdirSync(dirname(path), { recursive: true });
  const token = JSON.stringify({ pid: process.pid, host: hostname(), since: Date.now() });
  let told = false;
  while (!tryCreate(path, token)) {
    throwIfAborted(options.signal);
    const holder = readHolder(path);
    if (holder !== undefined && isStale(path, holder)) {
      takeAway(path, holder);
      continue;
    }
    if (!told && holder !== undefined) options.onWait?.(`process ${holder.pid} on ${holder.host}`);
    told = true;
    await sleep(pollMs, undefined, { signal: options.signal });
  }
  const heartbeat = setInterval(() => touch(path), heartbeatMs);
  heartbeat.unref();
  return () => {
    clearInterval(heartbeat);
    if (readHolder(path)?.token === token) rmSync(path, { force: true });
  };
}

function tryCreate(path, token) {
  try {
    writeFileSync(path, token, { flag: "wx" });
    return true;
  } catch (error) {
    if (error.code === "EEXIST") return false;
    throw error;
  }
}

/** Undefined when the lock has just been released or isn't written yet. */
function readHolder(path) {
  try {
    const token = readFileSync(path, "utf8");
    const { pid, host } = token === "" ? { pid: 0, host: "" } : JSON.parse(token);
    return { pid, host, token };
  } catch (error) {
    if (error.code === "ENOENT" || error instanceof SyntaxError) return undefined;
    throw error;
  }
}

function isStale(path, holder) {
  if (holder.host === hostname() && !isAlive(holder.pid)) return holder.token !== "";
  const touchedAt = statSync(path, { throwIfNoEntry: false })?.mtimeMs;
  return touchedAt !== undefined && Date.now() - touchedAt > staleAfterMs;
}

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === "EPERM";
  }
}

/** Two waiters may both find the lock stale: only the one that moves the very file it judged removes it. */
function takeAway(path, holder) {
  const aside = `${path}.stale-${process.pid}`;
  try {
    renameSync(path, aside);
  } catch (error) {
    if (error.code === "ENOENT") return;
    throw error;
  }
  const moved = readFileSync(aside, "utf8");
  if (moved !== holder.token) tryCreate(path, moved);
  rmSync(aside, { force: true });
}

function touch(path) {
  const now = new Date();
  try {
    utimesSync(path, now, now);
  } catch (error) {
    // Removed by hand: the next holder creates its own.
    if (error.code !== "ENOENT") throw error;
  }
}
