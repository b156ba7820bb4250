/** The command line of the soak. */
import { parseArgs } from "node:util";
import { faultWeights } from "./faults.mjs";

/**
 * @typedef {{
 *   minutes: number, engine: "fake" | "mlx", seed: number, faultEvery?: number,
 *   faults?: Record<string, number>, kills?: number, serverKills?: number, maxBatch?: number,
 *   json?: string,
 * }} SoakOptions
 */

export const usage = `Usage: npm run soak -- [--minutes N] [--engine fake|mlx] [--seed S] [--fault-every MS] [--faults LIST]
       npm run soak -- --kills N | --server-kills N [--engine fake|mlx] [--max-batch N] [--seed S]
       --json FILE writes the figures too. Faults: ${Object.keys(faultWeights).join(", ")}\n`;

const seeds = 2 ** 31;
const minutesDefault = 1;

/** @returns {SoakOptions | "help"} Throws Error with one sentence. */
export function parseCommandLine(args) {
  const text = { type: "string" };
  const names = ["minutes", "engine", "seed", "fault-every", "faults", "kills", "server-kills"];
  const options = Object.fromEntries([...names, "max-batch", "json"].map((name) => [name, text]));
  const { values } = parseArgs({ args, options: { ...options, help: { type: "boolean" } } });
  if (values.help) return "help";
  const { engine = "fake", json } = values;
  if (engine !== "fake" && engine !== "mlx") throw new Error("--engine is fake or mlx.");
  const number = (name) => numberOf(name, values[name]);
  return {
    ...{ engine, json, faults: faultsOf(values.faults) },
    minutes: number("minutes") ?? minutesDefault,
    seed: number("seed") ?? Math.floor(Math.random() * seeds),
    faultEvery: number("fault-every"),
    kills: number("kills"),
    serverKills: number("server-kills"),
    maxBatch: number("max-batch"),
  };
}

function numberOf(name, value) {
  if (value === undefined) return undefined;
  const number = Number(value);
  if (!(number > 0)) throw new Error(`--${name} must be a number above 0.`);
  return number;
}

function faultsOf(list) {
  if (list === undefined) return undefined;
  const names = list.split(",");
  const unknown = names.find((name) => faultWeights[name] === undefined);
  if (unknown !== undefined) throw new Error(`There is no fault ${unknown}.`);
  return Object.fromEntries(names.map((name) => [name, faultWeights[name]]));
}
