/** The steps that need only Node: npm packages, the machines (ReScript), the rest (TypeScript), the web console. */
import { existsSync, readFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { commandLine, packageRoot } from "../paths.mjs";
import { run, SetupError } from "../process.mjs";
import { isFresh, listInputs, removeStamp, takeStamp, writeStamp } from "../stamp.mjs";

/** Stamps and logs of the set-up of this clone. */
export const setupFolder = join(packageRoot, ".setup");
const stampOf = (id) => join(setupFolder, `${id}.json`);

/** @param {string} id */
export const logOf = (id) => join(setupFolder, `${id}.log`);

const lockFiles = ["package.json", "package-lock.json"];
const testManifest = join("tests", "package.json");
const allLockFiles = [...lockFiles, testManifest];
const installPollMs = 500;
const isMachineSource = (path) => /\.resi?$/.test(path);
const machineInputs = () => [
  ...lockFiles,
  "rescript.json",
  ...listInputs(packageRoot, ["src-res"], isMachineSource),
];
const commandLineBuilder = join("scripts", "build-command-line.mjs");
const typescriptInputs = () => [
  ...lockFiles,
  "tsconfig.json",
  ...["scripts/bundle-telemetry.mjs", "scripts/lib/telemetry.mjs"],
  ...["scripts/build-command-line.mjs", "scripts/lib/command-line.mjs"],
  ...listInputs(packageRoot, ["src-ts", "setup"]),
  ...listInputs(packageRoot, ["src-res"], (path) => path.endsWith(".gen.ts")),
];

const telemetryBundler = join("scripts", "bundle-telemetry.mjs");
const consoleBuilder = join("scripts", "build-console.mjs");
const consoleManifest = join(packageRoot, "dist", "console", "manifest.json");
/** The page is bundled with the client that it talks by. */
const consoleInputs = () => [
  ...lockFiles,
  ...["scripts/build-console.mjs", "scripts/lib/console.mjs"],
  ...listInputs(packageRoot, ["src-ts/console", "src-ts/client"]),
];

/**
 * @param {{ tests: boolean }} wanted Whether tests and checks will be run: they need packages of their own.
 * @returns {import("./steps.mjs").Step}
 */
export function packagesStep({ tests }) {
  return {
    id: "npm",
    title: "npm packages",
    needs: [],
    fresh: () =>
      existsSync(installedLock) &&
      (isStamped("npm-tests", allLockFiles) ||
        (!tests && isStamped("npm", allLockFiles)) ||
        adoptInstalled()),
    // Those of tests that were there with an older lock file are wanted still.
    run: (context) => install(tests || hasTestPackages(), context),
  };
}

/** Either begins with an empty folder, so that what the other one has left is gone. */
async function install(withTests, context) {
  for (const either of ["npm", "npm-tests"]) removeStamp(stampOf(either));
  await stamped(
    withTests ? "npm-tests" : "npm",
    () => allLockFiles,
    () => npmInstall(context, withTests ? [] : ["--workspaces=false"]),
  );
}

/**
 * @param {{ tests: boolean }} wanted As of `packagesStep`.
 * @returns {import("./steps.mjs").Step[]}
 */
export function nodeSteps(wanted) {
  return [
    packagesStep(wanted),
    {
      id: "machines",
      title: "machines (ReScript)",
      needs: ["npm"],
      fresh: () => isStamped("machines", machineInputs()) && machinesCompiled(),
      run: (context) =>
        stamped("machines", machineInputs, () =>
          runTool("rescript", ["build"], "machines", context),
        ),
    },
    {
      id: "typescript",
      title: "TypeScript",
      needs: ["machines"],
      fresh: () => isStamped("typescript", typescriptInputs()) && existsSync(commandLine),
      run: (context) =>
        stamped("typescript", typescriptInputs, async () => {
          await runTool("tsc", ["-p", "tsconfig.json"], "typescript", context);
          const unsent = "What sends telemetry can't be bundled.";
          await runScript(telemetryBundler, "typescript", unsent, context);
          const failure = "The command line can't be bundled.";
          await runScript(commandLineBuilder, "typescript", failure, context);
        }),
    },
    {
      id: "console",
      title: "web console",
      needs: ["npm"],
      fresh: () => isStamped("console", consoleInputs()) && existsSync(consoleManifest),
      run: (context) =>
        stamped("console", consoleInputs, () =>
          runScript(consoleBuilder, "console", "The web console can't be bundled.", context),
        ),
    },
  ];
}

export { commandLine };

const installedLock = join(packageRoot, "node_modules", ".package-lock.json");

/** npm links the folder of tests beside their packages. */
function hasTestPackages() {
  const { name } = JSON.parse(readFileSync(join(packageRoot, testManifest), "utf8"));
  return existsSync(join(packageRoot, "node_modules", name));
}

const isStamped = (id, files) => isFresh(stampOf(id), packageRoot, files);

/** The inputs are taken before the work: what changes meanwhile counts as changed. */
async function stamped(id, inputs, work) {
  removeStamp(stampOf(id));
  const stamp = takeStamp(packageRoot, inputs());
  await work();
  writeStamp(stampOf(id), stamp);
}

/** True when somebody has already installed what the lock file says, by hand. */
function adoptInstalled() {
  const wanted = readLock().packages;
  const present = JSON.parse(readFileSync(installedLock, "utf8")).packages;
  const same = Object.entries(wanted).every(([path, entry]) => {
    if (path === "" || path === dirname(testManifest)) return true;
    const installed = present[path];
    if (installed === undefined) return entry.optional === true || entry.peer === true;
    return installed.version === entry.version && installed.integrity === entry.integrity;
  });
  if (same) writeStamp(stampOf("npm-tests"), takeStamp(packageRoot, allLockFiles));
  return same;
}

async function npmInstall({ signal, detail }, more) {
  // Building needs the development and the optional (per platform) packages, whatever the user's habits.
  const args = ["ci", "--include=dev", "--include=optional", "--no-audit", "--no-fund", ...more];
  const script = process.env.npm_execpath ?? "";
  const [command, before] =
    basename(script) === "npm-cli.js" ? [process.execPath, [script]] : ["npm", []];
  const watch = setInterval(() => detail(countInstalled()), installPollMs);
  try {
    await run(command, [...before, ...args], {
      cwd: packageRoot,
      signal,
      logFile: logOf("npm"),
      failure:
        "The npm packages could not be installed; check the network and npm's configuration, then run the command again.",
    });
  } finally {
    clearInterval(watch);
  }
}

/** npm itself says nothing until its end. Which packages are of tests alone the lock file doesn't say. */
function countInstalled() {
  const paths = Object.keys(readLock().packages).filter((path) => path.startsWith("node_modules/"));
  const present = paths.filter((path) => existsSync(join(packageRoot, path, "package.json")));
  return `${present.length}`;
}

function readLock() {
  return JSON.parse(readFileSync(join(packageRoot, "package-lock.json"), "utf8"));
}

function machinesCompiled() {
  return listInputs(packageRoot, ["src-res"], (path) => path.endsWith(".res")).every((file) =>
    existsSync(join(packageRoot, `${file}.mjs`)),
  );
}

async function runTool(tool, args, id, { signal, detail }) {
  const script = join(packageRoot, "node_modules", ".bin", tool);
  if (!existsSync(script)) {
    throw new SetupError(
      `${tool} is missing from node_modules; remove that folder and run the command again.`,
    );
  }
  await runNode([script, ...args], id, `The sources do not compile (${tool}).`, { signal, detail });
}

function runScript(path, id, failure, context) {
  return runNode([join(packageRoot, path)], id, failure, context);
}

function runNode(args, id, failure, { signal, detail }) {
  return run(process.execPath, args, {
    cwd: packageRoot,
    signal,
    logFile: logOf(id),
    onLine: detail,
    failure,
  });
}
