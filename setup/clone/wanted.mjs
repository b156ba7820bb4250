/**
 * Guesses, before anything is built, what a command line will need. A wrong guess costs nothing but time:
 * `serve` makes what it turns out to need.
 */
import { existsSync, readFileSync } from "node:fs";
import { embeddedModelId } from "../model.mjs";

/**
 * @param {readonly string[]} args Options of `serve`.
 * @param {NodeJS.ProcessEnv} [env]
 * @returns {boolean}
 */
export function wantsEmbeddedModel(args, env = process.env) {
  if (args.includes("--help") || args.includes("-h")) return false;
  if (settingOf("engine", args, env) === "fake") return false;
  const file = readConfigFile(configOf(args));
  const flags = valuesOf(args, "model");
  const models =
    flags.length > 0 ? flags : [env.MLX_SERVING_MODEL ?? file.model ?? embeddedModelId].flat();
  return models.some((model) => String(model).split(",").includes(embeddedModelId));
}

/**
 * Whether a command line will use native parts.
 * @param {readonly string[]} args Options of `serve`.
 * @param {NodeJS.ProcessEnv} [env]
 * @returns {boolean}
 */
export function wantsNative(args, env = process.env) {
  if (args.includes("--help") || args.includes("-h") || isBuildSkipped(args, env)) return false;
  const asked = settingOf("native", args, env) ?? "auto";
  if (["off", "0"].includes(String(asked))) return false;
  return asked !== "auto" || settingOf("engine", args, env) !== "fake";
}

/** `--no-build`, which has no value as a flag, and one elsewhere. */
function isBuildSkipped(args, env) {
  const file = readConfigFile(configOf(args));
  const set = env.MLX_SERVING_NO_BUILD || (file.noBuild ?? file["no-build"]);
  return args.includes("--no-build") || /^(on|true|1)$/.test(String(set));
}

/** Of an option with one value: a flag wins over a variable, a variable over the file. */
function settingOf(name, args, env) {
  const variable = env[`MLX_SERVING_${name.toUpperCase()}`];
  return valuesOf(args, name).at(-1) ?? variable ?? readConfigFile(configOf(args))[name];
}

function configOf(args) {
  return valuesOf(args, "config").at(-1) ?? "mlx-serving.config.json";
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
