/** What the scenarios take from the load generator of the product, which must be compiled first. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { packageRoot } from "../../setup/paths.mjs";

/**
 * @typedef {{
 *   runClosedLoop: Function,
 *   summarize: Function,
 *   distribution: Function,
 *   syntheticPrompt: (index: number, tokens: number) => string,
 *   MemorySampler: new (pid: number) => { stop: () => Promise<{ treeBytes: number }> },
 *   jsonReport: (options: object, result: object) => object,
 *   targetOf: (server: { url: string, body?: object, model?: string, apiKey?: string }) => object,
 *   scratch: () => { path: string, remove: () => void },
 * }} Toolkit `scratch`: a folder of its own.
 */

const modules = ["load", "statistics", "prompts", "memory", "report", "http-target", "dialect"];

/**
 * @param {{ timeoutMs: number, load?: (name: string) => Promise<object> }} options `load`: a module of
 *   src-ts/bench; default: the compiled one.
 * @returns {Promise<Toolkit>}
 */
export async function loadToolkit({ timeoutMs, load = compiled }) {
  const parts = await Promise.all(modules.map(load));
  const { HttpTarget, chat, ...rest } = Object.assign({}, ...parts);
  const targetOf = ({ url, body = {}, model, apiKey }) =>
    new HttpTarget(chat, {
      ...{ url, api: "chat", model, apiKey, extraBody: body },
      ...{ sockets: 1, timeoutMs, keepTexts: true },
    });
  return { ...rest, targetOf, scratch };
}

const compiled = (name) =>
  import(pathToFileURL(join(packageRoot, "dist", "src-ts", "bench", `${name}.js`)).href);

function scratch() {
  const path = mkdtempSync(join(tmpdir(), "mlx-serving-bench-"));
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}
