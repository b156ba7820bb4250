/** `mlx-serving doctor`: what this machine has, for people and as JSON. */
import { Command } from "commander";
import { outColors } from "../colors.js";
import { type DoctorReport, examine } from "../environment/doctor.js";
import { formatBytes, formatTable } from "./format.js";

export function doctorCommand(): Command {
  return new Command("doctor")
    .description("Says which versions, backend and models this machine has. Changes nothing.")
    .option("--json", "one JSON object")
    .addHelpText("after", "\nExample:\n  mlx-serving doctor --json | jq .backend")
    .action(async ({ json }: { json?: boolean }) => {
      const report = await examine();
      process.stdout.write(json ? `${JSON.stringify(report, undefined, 2)}\n` : render(report));
    });
}

function render(report: DoctorReport): string {
  const { python, versions, backend, device, blas, native, mlx_ops, models } = report;
  const part = ({ on, reason }: { on: boolean; reason: string }) =>
    `${on ? "on" : "off"} (${reason})`;
  const rows = [
    ["python", `${python.version ?? "none"}  ${python.path}`],
    ["backend", [backend ?? "none", device].filter(Boolean).join("  ")],
    ["BLAS", blas ?? "unknown"],
    ["native", part(native)],
    ["mlx_ops", part(mlx_ops)],
    ...Object.entries(versions),
    ...models.map(({ id, ready, bytes, path }) => [
      "model",
      `${id}  ${ready ? formatBytes(bytes) : "not fetched yet"}  ${path}`,
    ]),
  ];
  const problem =
    python.problem === null ? "" : `\n${outColors.yellow("Python:")} ${python.problem}\n`;
  return `${formatTable(rows)}\n${problem}`;
}
