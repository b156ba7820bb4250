/** The checks that run nothing: style and types of all languages. One command each. */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { packageRoot, pythonProject } from "../../setup/paths.mjs";
import { environmentFolder } from "../../setup/python.mjs";

const nodeTool = (name, ...args) => [
  process.execPath,
  join(packageRoot, "node_modules", ".bin", name),
  ...args,
];
const pythonTool = (name, ...args) => [join(environmentFolder(), "bin", name), ...args];

const ruffTargets = [
  "--config",
  "python/pyproject.toml",
  // Relative to where it runs: for the sorting of imports, the tests' own modules are theirs.
  "--config",
  'src=["tests/python/support", "tests/clients"]',
  "python",
  "tests/clients",
  "tests/python",
  "examples/python",
];

const checks = [
  {
    title: "TypeScript and scripts: style",
    command: nodeTool("biome", "ci", "--error-on-warnings"),
  },
  { title: "TypeScript: types", command: nodeTool("tsc", "-p", "tsconfig.json", "--noEmit") },
  {
    title: "TypeScript: types of the tests",
    command: nodeTool("tsc", "-p", "tests/tsconfig.json"),
  },
  { title: "Python: lint", command: pythonTool("ruff", "check", ...ruffTargets) },
  {
    title: "Python: style",
    command: pythonTool("ruff", "format", "--check", ...ruffTargets),
  },
  { title: "Python: types", command: pythonTool("mypy"), cwd: pythonProject },
];

/**
 * Runs all checks, printing what they find.
 * @returns {{ passed: number, failed: number, skipped: number }}
 */
export function runChecks() {
  const count = { passed: 0, failed: 0, skipped: 0 };
  for (const { title, command, cwd = packageRoot } of checks) {
    const [program, ...args] = command;
    const { status, error } = spawnSync(program, args, { cwd, stdio: "inherit" });
    const passed = status === 0;
    count[passed ? "passed" : "failed"] += 1;
    process.stdout.write(`${passed ? "✓" : "✗"} ${title}${error ? ` (${error.message})` : ""}\n`);
  }
  return count;
}
