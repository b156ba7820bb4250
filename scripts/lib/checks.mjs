/** The checks that run nothing: style and types of all languages. One command each. */
import { spawn } from "node:child_process";
import { availableParallelism } from "node:os";
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

/** They write into a pipe, and would show no colours for it. */
const env = process.stdout.hasColors?.() ? { ...process.env, FORCE_COLOR: "1" } : process.env;

/** The one that takes longest, on a single core, begins first. */
const checks = [
  { title: "Python: types", command: pythonTool("mypy"), cwd: pythonProject },
  {
    title: "TypeScript and scripts: style",
    command: nodeTool("biome", "ci", "--error-on-warnings"),
  },
  { title: "TypeScript: types", command: nodeTool("tsc", "-p", "tsconfig.json", "--noEmit") },
  {
    title: "TypeScript: types of the tests",
    command: nodeTool("tsc", "-p", "tests/tsconfig.json"),
  },
  {
    title: "TypeScript: types of the console",
    command: nodeTool("tsc", "-p", "src-ts/console/tsconfig.json"),
  },
  { title: "Python: lint", command: pythonTool("ruff", "check", ...ruffTargets) },
  {
    title: "Python: style",
    command: pythonTool("ruff", "format", "--check", ...ruffTargets),
  },
];

/**
 * Runs all checks, as many at a time as there are cores, printing what each finds when it has ended.
 * @returns {Promise<{ passed: number, failed: number, skipped: number }>}
 */
export async function runChecks() {
  const count = { passed: 0, failed: 0, skipped: 0 };
  const waiting = [...checks];
  const runOneByOne = async () => {
    for (let check = waiting.shift(); check !== undefined; check = waiting.shift()) {
      const { passed, output } = await runCheck(check);
      count[passed ? "passed" : "failed"] += 1;
      process.stdout.write(`${output}${passed ? "✓" : "✗"} ${check.title}\n`);
    }
  };
  await Promise.all(Array.from({ length: availableParallelism() }, runOneByOne));
  return count;
}

function runCheck({ command, cwd = packageRoot }) {
  const [program, ...args] = command;
  const child = spawn(program, args, { cwd, env, stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding("utf8").on("data", (text) => {
      output += text;
    });
  return new Promise((resolve) => {
    child.once("error", (error) => resolve({ passed: false, output: `${error.message}\n` }));
    child.once("close", (code) => resolve({ passed: code === 0, output }));
  });
}
