/** Time to the ready line by size of the data folder. The folders are written by the journal itself. */
import { mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startServer } from "../gate/server.mjs";
import { flagsOf, spreadOf } from "./common.mjs";

const sizesMb = [0, 10, 100, 250];
const retention = ["--retention-bytes", "4GiB", "--retention-age", "24h"];
const promptTokens = 100;
const deltas = 300;
/** Deltas that one write takes, as when many streams share it. */
const deltasPerPart = 5;
/** Responses that are under way at the same time. */
const responsesAtOnce = 64;

/**
 * @typedef {{ openJournal: Function, responseSubmission: Function }} Writers what a server writes folders with
 * @param {{ rounds: number, writers: Writers, signal: AbortSignal, say: (text: string) => void }} options
 */
export async function measureRestore({ rounds, writers, signal, say }) {
  const results = [];
  for (const megabytes of sizesMb) {
    const folder = mkdtempSync(join(tmpdir(), "mlx-serving-restore-"));
    try {
      const responses = await fill(folder, megabytes * 1e6, writers);
      const bytes = bytesOf(folder);
      const starts = [];
      for (let round = 0; round < rounds; round++) starts.push(await start(folder, signal));
      const readyMs = spreadOf(
        starts.map(({ ms }) => ms),
        0,
      );
      const residentBytes = Math.max(...starts.map(({ resident }) => resident));
      say(
        `  ${(bytes / 1e6).toFixed(0)} MB, ${responses} responses: ready after ${readyMs.median} ms ` +
          `(${readyMs.min} to ${readyMs.max}), ${(residentBytes / 2 ** 20).toFixed(0)} MiB resident`,
      );
      results.push({ bytes, responses, readyMs, residentBytes });
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }
  return results;
}

async function start(folder, signal) {
  const flags = [...flagsOf("fake"), ...retention, "--data-dir", folder];
  const startedAt = performance.now();
  const server = await startServer({ flags, env: {}, signal });
  const ms = performance.now() - startedAt;
  const metrics = await (await fetch(`${server.url}/metrics`)).text();
  const resident = Number(/^process_resident_memory_bytes (\S+)/m.exec(metrics)[1]);
  await server.stop();
  return { ms, resident };
}

/** How many responses it took. */
async function fill(folder, bytes, { openJournal, responseSubmission }) {
  const clock = { now: () => performance.now(), soon: (run) => setImmediate(run), after: () => {} };
  const journal = await openJournal({ folder, fsync: false, clock, log() {} });
  let count = 0;
  while (bytesOf(folder) < bytes) {
    const logs = Array.from(
      { length: responsesAtOnce },
      () => new StoredLog(acceptanceOf(count++, responseSubmission)),
    );
    await grow(journal, logs);
  }
  await journal.close();
  return count;
}

async function grow(journal, logs) {
  for (const log of logs) journal.add(log);
  await Promise.all(logs.map((log) => log.durable()));
  while (!logs[0].hasEnded) {
    for (const log of logs) {
      log.grow();
      journal.touch(log);
    }
    await Promise.all(logs.map((log) => log.durable()));
  }
}

function bytesOf(folder) {
  return readdirSync(folder).reduce((sum, name) => sum + statSync(join(folder, name)).size, 0);
}

/** A response as the journal sees it, that grows as those of a worker do. */
class StoredLog {
  #entries = [{ kind: "created" }, { kind: "inProgress" }];
  #tokens = [];
  #taken = { entries: 0, tokens: 0 };
  #written = () => {};

  constructor(acceptance) {
    this.acceptance = acceptance;
  }

  get hasEnded() {
    return this.#entries.at(-1).kind === "ended";
  }

  /** Resolves with the next write. */
  durable() {
    return new Promise((resolve) => {
      this.#written = resolve;
    });
  }

  grow() {
    if (this.#tokens.length === 0) this.#entries.push({ kind: "itemAdded" }, { kind: "partAdded" });
    for (let i = 0; i < deltasPerPart; i++) {
      const token = 256 + this.#tokens.length;
      this.#tokens.push(token);
      this.#entries.push({ kind: "textDelta", text: ` word${token % 100}`, tokens: 1 });
    }
    if (this.#tokens.length < deltas) return;
    const usage = { promptTokens, cachedTokens: 0, completionTokens: this.#tokens.length };
    const ended = { kind: "ended", ending: { kind: "length" }, usage, endedAt: Date.now() };
    for (const kind of ["textDone", "partDone", "itemDone"]) this.#entries.push({ kind });
    this.#entries.push(ended);
  }

  takeUnwritten() {
    return this.#take(this.#taken.entries, this.#taken.tokens);
  }

  takeSnapshot() {
    const { entries, tokens, cachedTokens } = this.#take(0, 0);
    return { acceptance: this.acceptance, entries, tokens, cachedTokens };
  }

  written() {
    this.#written();
  }

  unwritable() {
    throw new Error("The folder can't be written.");
  }

  stalled(reason) {
    throw reason;
  }

  #take(entriesFrom, tokensFrom) {
    this.#taken = { entries: this.#entries.length, tokens: this.#tokens.length };
    const entries = this.#entries.slice(entriesFrom);
    const tokens = this.#tokens.slice(tokensFrom);
    return { entriesFrom, entries, tokensFrom, tokens, cachedTokens: 0 };
  }
}

function acceptanceOf(index, responseSubmission) {
  const neutral = { temperature: 0, topP: 1, topK: 0, minP: 0, repetitionPenalty: 1 };
  const penalties = { presencePenalty: 0, frequencyPenalty: 0, logitBias: [] };
  return {
    id: `resp_${String(index).padStart(36, "0")}`,
    model: "smollm2-135m-instruct",
    owner: "",
    createdAt: Date.now(),
    echo: echoOf(index, responseSubmission),
    maxTokens: deltas,
    sampling: { ...neutral, ...penalties, seed: index, stop: [], logprobs: -1 },
    promptTokens: Uint32Array.from({ length: promptTokens }, (_, i) => i),
    clientId: "127.0.0.1",
    priority: "normal",
    deadlineAt: undefined,
    idempotency: { key: `key-${index}`, fingerprint: "0".repeat(64) },
    cost: { promptTokens, newTokens: deltas, kvBytes: 1_000_000 },
  };
}

/** As the server writes it. */
function echoOf(index, responseSubmission) {
  const metadata = { index: String(index) };
  const body = { input: "", max_output_tokens: deltas, metadata };
  return responseSubmission(body, { owner: "", clientId: "127.0.0.1" }, 0).echo;
}
