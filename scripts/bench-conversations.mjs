/**
 * `npm run bench:conversations`: many long conversations in turn on a prefix cache that has room for a part of them.
 * Which one speaks next is drawn, favourites more often. Says how many tokens were cached beside what a textbook LRU
 * of blocks of the same size would have had, and the highest resident memory. Half an hour.
 *
 *   npm run bench:conversations
 *   npm run bench:conversations -- --conversations 50 --tokens 1000 --requests 200 --share 0.25 --json FILE
 */
import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { interruptible } from "../setup/clone/interrupt.mjs";
import { setUp } from "../setup/clone/setup.mjs";
import { loadToolkit } from "./bench/toolkit.mjs";
import { blockLru } from "./lib/block-lru.mjs";
import { Chance } from "./lib/chance.mjs";
import { startServer } from "./lib/gate/server.mjs";

/** Of the embedded model's KV cache, and of the store's blocks. */
const bytesPerToken = 46_080;
const blockTokens = 64;
/** What the worker takes beside its weights and what it keeps. */
const besideBytes = 2 * 1024 ** 3;
const timeoutMs = 600_000;
/** Ordinary tokens of the embedded model. */
const tokenMin = 1_000;
const tokenMax = 40_000;

const usage =
  "Usage: npm run bench:conversations -- [--conversations N] [--tokens N] [--requests N] [--share 0..1] [--json FILE]\n";
const options = parseCommandLine();

function parseCommandLine() {
  const text = { type: "string" };
  const known = { conversations: text, tokens: text, requests: text, share: text, json: text };
  try {
    const { values } = parseArgs({ options: known });
    const { conversations = 200, tokens = 4_000, requests = 400, share = 0.25 } = values;
    const counts = [conversations, tokens, requests].map(Number);
    if (!counts.every((count) => Number.isInteger(count) && count > 0))
      throw new Error("--conversations, --tokens and --requests must be whole numbers above 0.");
    if (!(Number(share) > 0 && Number(share) <= 1))
      throw new Error("--share must be above 0, at most 1.");
    return {
      ...{ conversations: counts[0], tokens: counts[1], requests: counts[2] },
      ...{ share: Number(share), json: values.json },
    };
  } catch (error) {
    process.stderr.write(`${error.message}\n${usage}`);
    process.exit(2);
  }
}

/** The prompt of a conversation: the same whenever it speaks. */
function promptOf(conversation, tokens) {
  const chance = new Chance(conversation + 1);
  return Array.from({ length: tokens }, () => chance.integer(tokenMin, tokenMax));
}

/** Who speaks: the square makes the first ones likelier. */
const speakerOf = (chance, conversations) => Math.floor(chance.next() ** 2 * conversations);

async function ask(url, prompt) {
  const body = { prompt, max_tokens: 1, temperature: 0 };
  const answer = await fetch(`${url}/v1/completions`, {
    ...{ method: "POST", headers: { "content-type": "application/json" } },
    ...{ body: JSON.stringify(body), signal: AbortSignal.timeout(timeoutMs) },
  });
  if (!answer.ok) throw new Error(`${answer.status}: ${await answer.text()}`);
  const { usage: used } = await answer.json();
  return { tokens: used.prompt_tokens, cached: used.prompt_tokens_details?.cached_tokens ?? 0 };
}

async function measure({ url, pid }, cacheBytes, toolkit) {
  const { conversations, tokens, requests } = options;
  const lru = blockLru(Math.floor(cacheBytes / (blockTokens * bytesPerToken)));
  const chance = new Chance(1);
  const sampler = new toolkit.MemorySampler(pid);
  const seen = { requests: 0, failures: 0, tokens: 0, cached: 0, textbook: 0 };
  // The last token is always computed.
  const blocks = Math.floor((tokens - 1) / blockTokens);
  for (let turn = 0; turn < requests; turn++) {
    const conversation = speakerOf(chance, conversations);
    seen.textbook += lru.ask(conversation, blocks) * blockTokens;
    seen.requests++;
    try {
      const answer = await ask(url, promptOf(conversation, tokens));
      seen.tokens += answer.tokens;
      seen.cached += answer.cached;
    } catch (error) {
      seen.failures++;
      process.stderr.write(`request ${turn}: ${error.message}\n`);
    }
    if ((turn + 1) % 20 === 0) process.stderr.write(`${turn + 1}: ${JSON.stringify(seen)}\n`);
  }
  const { treeBytes } = await sampler.stop();
  return { ...seen, treeBytes };
}

const gib = (bytes) => `${(bytes / 1024 ** 3).toFixed(2)} GiB`;
const percent = (part, whole) => `${((100 * part) / whole).toFixed(1)} %`;

await interruptible(async (signal) => {
  await setUp({ model: true, native: true, signal });
  const toolkit = await loadToolkit({ timeoutMs });
  const { conversations, tokens, share, json } = options;
  const cacheBytes = Math.round(conversations * tokens * bytesPerToken * share);
  const budgetBytes = cacheBytes + besideBytes;
  const flags = ["--prefix-cache", `${cacheBytes}`, "--memory-budget", `${budgetBytes}`];
  const server = await startServer({
    flags: [...flags, "--log-level", "error"],
    env: {},
    signal,
  });
  try {
    const seen = await measure(server, cacheBytes, toolkit);
    const figures = { ...options, cacheBytes, budgetBytes, ...seen };
    process.stdout.write(
      `${seen.requests} requests, ${seen.failures} failed; cached ${percent(seen.cached, seen.tokens)} of the tokens, ` +
        `a textbook LRU ${percent(seen.textbook, seen.tokens)}; memory at most ${gib(seen.treeBytes)} of a budget of ` +
        `${gib(budgetBytes)}, of which ${gib(cacheBytes)} for prefixes\n`,
    );
    if (json !== undefined) writeFileSync(json, `${JSON.stringify(figures, null, 2)}\n`);
    if (seen.failures > 0) process.exitCode = 1;
  } finally {
    await server.stop();
  }
});
