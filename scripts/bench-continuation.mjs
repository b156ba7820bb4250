/**
 * `npm run bench:continuation`: what a turn costs that goes on from the one before it. One WebSocket, a long
 * start, then turns by `previous_response_id` with `store: false`; between them, for comparison, prompts that
 * have a turn's new text and no past. Nothing else should run meanwhile; two minutes.
 *
 *   npm run bench:continuation -- --words 2600 --turns 10 --json FILE
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import WebSocket from "ws";
import { interruptible } from "../setup/clone/interrupt.mjs";
import { setUp } from "../setup/clone/setup.mjs";
import { packageRoot } from "../setup/paths.mjs";
import { medianOf } from "./lib/statistics.mjs";

/** Of a turn's answer. */
const answerTokens = 40;
const wordsDefault = 2_900;
const turnsDefault = 10;

const usage = "Usage: npm run bench:continuation -- [--words N] [--turns N] [--json FILE]\n";
const options = parseCommandLine();

function parseCommandLine() {
  const text = { type: "string" };
  try {
    const { values } = parseArgs({ options: { words: text, turns: text, json: text } });
    const { words = wordsDefault, turns = turnsDefault, json } = values;
    const counts = { words: Number(words), turns: Number(turns) };
    if (!Object.values(counts).every((count) => Number.isInteger(count) && count > 0))
      throw new Error("--words and --turns must be whole numbers above 0.");
    return { ...counts, json };
  } catch (error) {
    process.stderr.write(`${error.message}\n${usage}`);
    process.exit(2);
  }
}

const terminal = new Set(["response.completed", "response.incomplete", "response.failed"]);

/** One response: when its first text came, what it took, how many bytes asked for it. */
function ask(socket, body) {
  const text = JSON.stringify({ type: "response.create", temperature: 0, store: false, ...body });
  const sentAt = performance.now();
  let ttftMs;
  return new Promise((resolve, reject) => {
    const take = (data) => {
      const event = JSON.parse(data);
      if (event.type === "response.output_text.delta") ttftMs ??= performance.now() - sentAt;
      if (event.type === "error") reject(new Error(event.error.message));
      if (!terminal.has(event.type)) return;
      socket.off("message", take);
      const { id, usage } = event.response;
      const cached = usage.input_tokens_details.cached_tokens;
      const newTokens = usage.input_tokens - cached;
      resolve({
        id,
        ttftMs,
        bytes: Buffer.byteLength(text),
        tokens: usage.input_tokens,
        newTokens,
      });
    };
    socket.on("message", take);
    socket.send(text);
  });
}

/** Ordinary words, nearly each of them a token. */
function beginning(count) {
  const words = "the quick brown fox jumps over a lazy dog and reads on about it in a long book";
  const all = words.split(" ");
  return Array.from({ length: count }, (_, index) => all[index % all.length]).join(" ");
}

async function measure(socket, { words, turns }) {
  const start = { input: beginning(words), max_output_tokens: answerTokens };
  let last = await ask(socket, start);
  const first = last;
  const rows = [];
  for (let turn = 1; turn <= turns; turn++) {
    const input = `Tell me more of part ${turn} of it, in one or two sentences, as you would a friend.`;
    const body = { input, max_output_tokens: answerTokens };
    // Of as many tokens, and of none that are known.
    const alone = await ask(socket, { ...body, input: `${turn * 7919} ${input}` });
    const known = last.tokens + answerTokens;
    last = await ask(socket, { ...body, previous_response_id: last.id });
    rows.push({ ...last, known, aloneMs: alone.ttftMs, aloneTokens: alone.newTokens });
  }
  return { first, rows };
}

await interruptible(async (signal) => {
  await setUp({ model: true, native: true, signal });
  const dist = pathToFileURL(join(packageRoot, "dist", "src-ts", "index.js")).href;
  const { serve } = await import(dist);
  const server = await serve({ port: 0, logLevel: "warn" });
  try {
    const socket = new WebSocket(`${server.url.replace("http", "ws")}/v1/responses`);
    await new Promise((resolve, reject) => socket.once("open", resolve).once("error", reject));
    const { first, rows } = await measure(socket, options);
    socket.close();
    process.stdout.write(`start: ${first.tokens} tokens, ${first.ttftMs.toFixed(0)} ms\n`);
    for (const { bytes, tokens, newTokens, ttftMs, aloneMs, aloneTokens } of rows)
      process.stdout.write(
        `${bytes} bytes, ${newTokens} of ${tokens} tokens computed: ${ttftMs.toFixed(0)} ms; ` +
          `${aloneTokens} alone: ${aloneMs.toFixed(0)} ms\n`,
      );
    const ratio = medianOf(rows.map(({ ttftMs, aloneMs }) => ttftMs / aloneMs));
    process.stdout.write(
      `time to first token, against the new tokens alone: ${ratio.toFixed(2)}\n`,
    );
    if (options.json !== undefined)
      writeFileSync(options.json, `${JSON.stringify({ first, rows, ratio }, null, 2)}\n`);
  } finally {
    await server.close();
  }
});
