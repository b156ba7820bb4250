/** The command line of `npm run bench`. */
import { parseArgs } from "node:util";
import { scenarios } from "./scenarios/index.mjs";

const timeoutSecondsDefault = 600;

export const usage = `Usage: npm run bench -- [options]
  --scenarios a,b         of ${scenarios.map(({ id }) => id).join(", ")} (default: all)
  --peers a,b             of llama-server, mlx-lm, mlx-lm-blas, mlx-lm-float and what is installed (default: all); none: ours alone
  --peer name=url         a server that runs already, with the same model; more than once
  --variant name=flags    ours with these flags beside ours without, as --variant "off=--native off"
  --model id|folder       default: the embedded model
  --gguf file             the same model for llama-server, where --model is given
  --llama-server file     a llama-server of your own; default: one is built, once
  --rounds n              default: 3 or 5, as a scenario has it
  --quick                 small loads, a few minutes; for looking, not for keeping
  --alone                 each server runs in its turn only: for large models
  --out folder            default: docs/performance, with --quick .setup/bench
  --json file             the result there too
  --profile folder        where ours spends its workers' time, a file for each load (needs Linux's perf)
  --timeout seconds       after which a request counts as failed (default: ${timeoutSecondsDefault})
`;

const text = { type: "string" };
const several = { type: "string", multiple: true };
const flag = { type: "boolean" };
const known = {
  ...{ scenarios: text, peers: text, peer: several, variant: several, model: text, gguf: text },
  ...{ "llama-server": text, rounds: text, quick: flag, alone: flag, out: text, json: text },
  ...{ profile: text, timeout: text, help: flag },
};

/**
 * @param {readonly string[]} args
 * @throws {Error} Its message names the option.
 */
export function parseOptions(args) {
  const { values } = parseArgs({ args, options: known });
  return {
    help: values.help ?? false,
    scenarios: scenariosOf(values.scenarios),
    chosen: values.peers === undefined ? undefined : listOf(values.peers),
    given: (values.peer ?? []).map((pair) => pairOf("--peer", pair)).map(givenOf),
    variants: (values.variant ?? []).map((pair) => pairOf("--variant", pair)).map(variantOf),
    model: values.model,
    gguf: values.gguf,
    llamaServer: values["llama-server"],
    rounds: countOf("--rounds", values.rounds),
    size: values.quick ? "quick" : "full",
    alone: values.alone ?? false,
    out: values.out,
    json: values.json,
    profile: values.profile,
    timeoutMs: (countOf("--timeout", values.timeout) ?? timeoutSecondsDefault) * 1000,
  };
}

const listOf = (value) => (value === "none" ? [] : value.split(",").map((item) => item.trim()));

function scenariosOf(value) {
  if (value === undefined) return scenarios;
  const ids = listOf(value);
  const unknown = ids.find((id) => !scenarios.some((scenario) => scenario.id === id));
  if (unknown !== undefined) throw new Error(`--scenarios: there is no ${unknown}.`);
  return scenarios.filter(({ id }) => ids.includes(id));
}

function pairOf(option, pair) {
  const at = pair.indexOf("=");
  if (at < 1) throw new Error(`${option} must be name=value, not “${pair}”.`);
  return { name: pair.slice(0, at), value: pair.slice(at + 1) };
}

function givenOf({ name, value }) {
  if (!/^https?:\/\//.test(value)) throw new Error(`--peer ${name} must have an http address.`);
  return { name, url: value };
}

const variantOf = ({ name, value }) => ({ name, flags: value.split(/\s+/).filter(Boolean) });

function countOf(option, value) {
  if (value === undefined) return undefined;
  const count = Number(value);
  if (!(Number.isInteger(count) && count > 0))
    throw new Error(`${option} must be a whole number above 0.`);
  return count;
}
