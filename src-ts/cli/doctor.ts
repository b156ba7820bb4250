/** `mlx-serving doctor`: what this machine has, for people and as JSON. */
import { Command } from "commander";
import { outColors } from "../colors.js";
import { type DoctorReport, examine } from "../environment/doctor.js";
import { bugReport } from "./doctor-report.js";
import { exitCodes } from "./failure.js";
import { formatBytes, formatTable } from "./format.js";

const help = `
MLX_SERVING_NATIVE (auto, on, off) and MLX_SERVING_NATIVE_PARTS say which native parts are to be used,
and MLX_SERVING_PREFIX_CACHE_DIR where computed prompts are kept, here as in serve; its flags and its configuration file are not read.

The exit code is 1 where no model can be served: there is no Python that is new enough, or its packages don't work.

Examples:
  mlx-serving doctor --json | jq .backend
  mlx-serving doctor --report > report.md
  MLX_SERVING_NATIVE_PARTS=all mlx-serving doctor`;

export function doctorCommand(): Command {
  return new Command("doctor")
    .description("Says which versions, backend and models this machine has. Changes nothing.")
    .option("--json", "one JSON object")
    .option("--report", "for a bug report: more of this machine, and nothing that is secret")
    .addHelpText("after", help)
    .action(async ({ json, report: forBugs }: { json?: boolean; report?: boolean }) => {
      const report = await examine();
      if (forBugs) process.stdout.write(bugReport(report));
      else
        process.stdout.write(json ? `${JSON.stringify(report, undefined, 2)}\n` : render(report));
      if (!report.python.usable) process.exitCode = exitCodes.runtime;
    });
}

/** The report as a table for people. */
export function render(report: DoctorReport): string {
  const {
    python,
    versions,
    backend,
    device,
    blas,
    native,
    mlx_ops,
    parts,
    models,
    prefix_cache_dir,
  } = report;
  const rows = [
    ["python", `${python.version ?? "none"}  ${python.path}`],
    ["backend", joined([backend ?? "none", device])],
    ["BLAS", joined([blas.name ?? "unknown", blas.reason])],
    ["native", part(native)],
    ["mlx_ops", part(mlx_ops, [mlx_ops.isa, threadsOf(mlx_ops)])],
    ["parts on", partsOn(parts)],
    ...(prefix_cache_dir === null ? [] : [["prefixes", prefixesIn(prefix_cache_dir)]]),
    ...Object.entries(versions),
    ...models.map(({ id, kind, ready, bytes, path, family }) => [
      "model",
      joined([
        id,
        kind === "gguf" ? "GGUF" : null,
        ready ? formatBytes(bytes) : "not fetched yet",
        path,
        served(family),
      ]),
    ]),
  ];
  const color = python.usable ? outColors.yellow : outColors.red;
  const problem = python.problem === null ? "" : `\n${color("Python:")} ${python.problem}\n`;
  return `${formatTable(rows)}\n${problem}`;
}

function prefixesIn({ path, blocks, bytes, reason }: PrefixFolder): string {
  return reason === null
    ? joined([path, `${blocks} blocks`, formatBytes(bytes)])
    : joined([path, "can't be used", reason]);
}

type PrefixFolder = NonNullable<DoctorReport["prefix_cache_dir"]>;
type Words = readonly (string | null)[];

function part({ on, version, reason }: DoctorReport["native"], more: Words = []): string {
  return on ? joined(["on", version, ...more]) : joined(["off", reason]);
}

function partsOn(parts: DoctorReport["parts"]): string {
  const on = Object.entries(parts).filter(([, part]) => part.on);
  return on.length === 0 ? "none" : on.map(([name]) => name).join(", ");
}

function served(family: DoctorReport["models"][number]["family"]): string | null {
  if (family === null) return null;
  const said = [
    ...(family.decoding === null ? ["a family not compared"] : []),
    ...(family.decoding === "one_row_at_a_time" ? ["one request at a time in a step"] : []),
    ...(family.kv_bits === false ? ["no --kv-bits"] : []),
  ];
  return said.length === 0 ? null : `${family.type}: ${said.join(", ")}, see docs/MODELS.md`;
}

function threadsOf({ threads }: DoctorReport["mlx_ops"]): string | null {
  return threads === null ? null : `${threads} threads`;
}

const joined = (words: Words) => words.filter(Boolean).join("  ");
