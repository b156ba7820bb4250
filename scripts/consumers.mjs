/**
 * The packed package in the hands of its users: small ReScript 12, ReScript 11.1 and TypeScript projects
 * install it, build and run; programs that they must not write do not compile.
 *
 *   node scripts/consumers.mjs [--report FILE]    FILE: gets the counts as JSON
 *   node scripts/consumers.mjs --full             README's program also on Node 20 and 24, which npm brings (else it
 *                                                 runs on the Node that there is), and the hook with React 18
 *   node scripts/consumers.mjs --part PART        what the whole run starts as a process of its own, for the other
 *                                                 core; “machines”: what the compiler must refuse in the machines;
 *                                                 “old-and-first” --tarball FILE: the package with ReScript 11.1,
 *                                                 and its first start by npx
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  existsSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { ensureNode } from "./lib/clients/install.mjs";
import { readTable } from "./lib/clients/table.mjs";
import { lendModel, pathWithoutCompiler, serveByNpx } from "./lib/consumers/first-start.mjs";
import { copyOfMachines, mutations, refuseMutation } from "./lib/consumers/mutations.mjs";
import { checkContents, checkPublint, checkTypes, pack } from "./lib/consumers/package.mjs";
import { compileAfterInit, runCompiled } from "./lib/consumers/plain-init.mjs";
import {
  distDigest,
  expectations,
  failSaying,
  forbiddenOf,
  makeProject,
  refuseReScript,
  run,
  succeed,
} from "./lib/consumers/project.mjs";

const { values } = parseArgs({
  options: {
    report: { type: "string" },
    part: { type: "string" },
    tarball: { type: "string" },
    full: { type: "boolean", default: false },
  },
});
const workspace = realpathSync(mkdtempSync(join(tmpdir(), "mlx-serving-consumers-")));
const count = { passed: 0, failed: 0, skipped: 0 };

/** Runs one check; what depends on a failed one is not tried. */
async function check(title, body) {
  try {
    const result = await body();
    count.passed += 1;
    process.stdout.write(`✓ ${title}\n`);
    return { result };
  } catch (error) {
    count.failed += 1;
    process.stdout.write(`✗ ${title}\n${error instanceof Error ? error.message : error}\n`);
    return undefined;
  }
}

async function checkPackage({ tarball, files }) {
  await check("package: has what it needs and nothing else", () => checkContents(files));
  await check("package: types are right in every way to import it", () => checkTypes(tarball));
}

async function checkTypeScript(tarball) {
  const folder = join(workspace, "typescript");
  const made = await check("typescript: installs and compiles", () => {
    makeProject({ name: "typescript", folder, tarball });
    succeed(folder, ["npm", "run", "build"]);
  });
  if (!made) return;
  await check("typescript: runs", () => succeed(folder, ["npm", "start"]));
  await checkReadme(tarball);
  await check("package: publint finds nothing", () =>
    checkPublint(join(folder, "node_modules", "mlx-serving")),
  );
  const { output } = run(folder, [
    "npx",
    "tsc",
    "-p",
    "tsconfig.forbidden.json",
    "--pretty",
    "false",
  ]);
  for (const { file, path } of forbiddenOf("typescript"))
    await check(`typescript: ${file} does not compile`, () => {
      const lines = output.split("\n").filter((line) => line.startsWith(`forbidden/${file}(`));
      const codes = lines.map((line) => /error (TS\d+)/.exec(line)?.[1]);
      const expected = expectations(path);
      if (codes.join() !== expected.join())
        throw new Error(
          `expected ${expected}, got ${codes.join() || "no error"}\n${lines.join("\n")}`,
        );
    });
}

async function checkReadme(tarball) {
  const compiled = await check(
    "typescript: README's program compiles after a plain tsc --init, with 5.9 and 7",
    () => compileAfterInit(join(workspace, "plain"), tarball),
  );
  if (!compiled) return;
  const { signal } = new AbortController();
  const { nodes } = readTable();
  const majors = values.full ? Object.keys(nodes) : [];
  await check("typescript: README's program runs", () =>
    runCompiled(compiled.result, [process.execPath]),
  );
  for (const major of majors)
    await check(`typescript: README's program runs on Node ${nodes[major]}`, async () => {
      const folder = await ensureNode(nodes[major], signal);
      await runCompiled(compiled.result, [join(folder, "node")]);
    });
}

async function checkReact(tarball) {
  const folder = join(workspace, "react");
  await check("react: the hook runs with React 18", () => {
    makeProject({ name: "react", folder, tarball });
    succeed(folder, ["npm", "start"]);
  });
}

async function checkReScript(name, tarball) {
  const folder = join(workspace, name);
  const made = await check(`${name}: installs`, () => {
    makeProject({ name, folder, tarball, shared: "rescript" });
    return distDigest(folder);
  });
  if (!made) return;
  const built = await check(`${name}: compiles`, () => succeed(folder, ["npm", "run", "build"]));
  if (!built) return;
  await check(`${name}: runs`, () => succeed(folder, ["npm", "start"]));
  await check(`${name}: compiling leaves what TypeScript users import as it was`, () => {
    if (distDigest(folder) !== made.result) throw new Error("dist has changed");
  });
  if (name !== "rescript-12") return;
  for (const program of forbiddenOf(name))
    await check(`${name}: ${program.file} does not compile`, () => refuseReScript(folder, program));
}

/** The builds themselves are tested with stand-ins (tests/setup/native/kept.test.ts), and in the clone. */
async function checkFirstStart(tarball) {
  const folder = join(workspace, "an empty folder");
  const cache = join(workspace, "an empty cache");
  const env = { MLX_SERVING_CACHE: cache, MLX_SERVING_ACCELERATOR: "cpu", CXX: "" };
  // What is compiled here is compiled for this folder, and goes with it.
  if (process.env.PYTHONPYCACHEPREFIX) env.PYTHONPYCACHEPREFIX = join(workspace, "pycache");
  const fake = await check(
    "npx: serves the fake engine, builds nothing, ends with npx",
    async () => {
      const said = await serveByNpx({ folder, tarball, flags: ["--engine", "fake"], env });
      if (said.includes("native parts") || existsSync(join(cache, "native")))
        throw new Error(`it built native parts:\n${said}`);
    },
  );
  if (!fake || process.platform !== "linux" || !lendModel(cache)) return;
  const poor = { ...env, PATH: pathWithoutCompiler(join(workspace, "bin")) };
  const without = await check(
    "npx: serves without a compiler, and says what that costs",
    async () => {
      const said = await serveByNpx({ folder, tarball, env: poor });
      const line =
        said.split("\n").find((one) => one.includes("going on without native parts (")) ?? "";
      const command = /there is no C\+\+ compiler.* To build them: (.*?)"/.exec(line)?.[1];
      if (command === undefined) throw new Error(`it doesn't say why or what to do:\n${said}`);
      return command;
    },
  );
  if (!without) return;
  await check("npx: the command that it names is there", () =>
    failSaying(folder, ["sh", "-c", without.result], ["there is no C++ compiler"], poor),
  );
  await check("npx: --no-build builds nothing", async () => {
    const kept = join(cache, "native");
    rmSync(kept, { recursive: true });
    const said = await serveByNpx({ folder, tarball, flags: ["--no-build"], env });
    if (existsSync(kept)) throw new Error(`it built native parts:\n${said}`);
    if (!said.includes("it is not built")) throw new Error(`it says nothing of them:\n${said}`);
  });
}

async function checkMutations() {
  const folder = join(workspace, "machines");
  if (!(await check("machines: a copy builds", () => copyOfMachines(folder)))) return;
  for (const mutation of mutations)
    await check(`machines: ${mutation.title} does not build`, () =>
      refuseMutation(folder, mutation),
    );
}

/** Its own process: the programs of all would wait for each other otherwise. */
function beside(part, ...options) {
  const report = join(workspace, `${part}.json`);
  const args = [fileURLToPath(import.meta.url), "--part", part, "--report", report, ...options];
  const child = spawn(process.execPath, args, { stdio: "inherit" });
  const exited = once(child, "exit");
  return async () => {
    await exited;
    const none = { passed: 0, failed: 1, skipped: 0 };
    const counted = existsSync(report) ? JSON.parse(readFileSync(report, "utf8")) : none;
    for (const name of Object.keys(count)) count[name] += counted[name];
  };
}

async function checkOldAndFirst() {
  await checkReScript("rescript-11", values.tarball);
  await checkFirstStart(values.tarball);
}

async function checkAll() {
  const others = [beside("machines")];
  const packed = await check("package: packs", () => pack(workspace));
  if (packed) {
    const { tarball } = packed.result;
    others.push(beside("old-and-first", "--tarball", tarball));
    await checkPackage(packed.result);
    await checkTypeScript(tarball);
    if (values.full) await checkReact(tarball);
    await checkReScript("rescript-12", tarball);
  }
  for (const counted of others) await counted();
}

const parts = { machines: checkMutations, "old-and-first": checkOldAndFirst };

try {
  await (values.part === undefined ? checkAll() : parts[values.part]());
} finally {
  rmSync(workspace, { recursive: true, force: true });
}
if (values.report !== undefined) writeFileSync(values.report, JSON.stringify(count));
process.stdout.write(`${count.passed} passed, ${count.failed} failed\n`);
process.exitCode = count.failed > 0 ? 1 : 0;
