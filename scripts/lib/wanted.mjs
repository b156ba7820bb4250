/**
 * Guesses, before anything is built, whether a command line will serve the embedded model. A wrong guess
 * costs nothing but time: `serve` fetches what it turns out to need.
 */
import { existsSync, readFileSync } from "node:fs";
import { embeddedModelId } from "./model.mjs";

/**
 * @param {readonly string[]} args Options of `serve`.
 * @param {NodeJS.ProcessEnv} [env]
 * @returns {boolean}
 */
export function wantsEmbeddedModel(args, env = process.env) {
  if (args.includes("--help") || args.includes("-h")) return false;
  const file = readConfigFile(valuesOf(args, "config").at(-1) ?? "mlx-serving.config.json");
  const engine = valuesOf(args, "engine").at(-1) ?? env.MLX_SERVING_ENGINE ?? file.engine;
  if (engine === "fake") return false;
  const flags = valuesOf(args, "model");
  const models =
    flags.length > 0 ? flags : [env.MLX_SERVING_MODEL ?? file.model ?? embeddedModelId].flat();
  return models.some((model) => String(model).split(",").includes(embeddedModelId));
}

function valuesOf(args, name) {
  return args.flatMap((arg, index) => {
    if (arg === `--${name}`) return args[index + 1] === undefined ? [] : [args[index + 1]];
    return arg.startsWith(`--${name}=`) ? [arg.slice(name.length + 3)] : [];
  });
}

function readConfigFile(path) {
  if (!existsSync(path)) return {};
  try {
    const content = JSON.parse(readFileSync(path, "utf8"));
    return typeof content === "object" && content !== null ? content : {};
  } catch {
    // Reported by `serve`, which reads the file properly.
    return {};
  }
}
