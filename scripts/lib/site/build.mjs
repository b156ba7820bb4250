/** The whole way from pages and sources to what the server serves under /docs. */
import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { packageRoot } from "../../../setup/paths.mjs";
import { run } from "../../../setup/process.mjs";
import { commandLineReference } from "./command-line.mjs";
import { httpReference } from "./http.mjs";
import { packSite } from "./pack.mjs";
import { rescriptReference } from "./rescript.mjs";
import { sidebar, stage } from "./stage.mjs";
import { typescriptReference } from "./typescript.mjs";

const site = join(packageRoot, "site");
const build = join(site, "build");
export const siteFolder = join(packageRoot, "dist", "docs");

const readJson = (path) => JSON.parse(readFileSync(join(packageRoot, path), "utf8"));

/** @returns {Promise<{ files: number, gzipBytes: number }>} */
export async function buildSite() {
  await installGenerator();
  const generated = await reference();
  const pages = join(build, "pages");
  const wrong = stage(pages, generated);
  if (wrong.length > 0) throw new Error(wrong.join("\n"));
  mkdirSync(join(pages, "public"), { recursive: true });
  copyFileSync(
    join(packageRoot, "src-ts", "console", "icon.svg"),
    join(pages, "public", "icon.svg"),
  );
  const { version } = readJson("package.json");
  writeFileSync(
    join(build, "contents.json"),
    JSON.stringify({ version, sidebar: sidebar(generated) }),
  );
  await renderPages();
  return packSite(
    join(build, "html"),
    readFileSync(join(build, "colours.css"), "utf8"),
    siteFolder,
  );
}

async function reference() {
  const openApi = readJson("docs/openapi.json");
  const schemas = new Set(Object.keys(openApi.components.schemas));
  return {
    ...httpReference(openApi, readJson("docs/asyncapi.json")),
    ...commandLineReference(),
    ...(await typescriptReference(schemas)),
    ...rescriptReference(),
  };
}

/** Apart from the packages of the server, and only when its lock file has changed. */
async function installGenerator() {
  const lock = readFileSync(join(site, "package-lock.json"), "utf8");
  const stamp = join(site, "node_modules", ".installed");
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === lock) return;
  await run("npm", ["ci", "--no-audit", "--no-fund"], { cwd: site });
  writeFileSync(stamp, lock);
}

/** Rejects for a page with a dead link, and for whatever else VitePress warns of. */
async function renderPages() {
  rmSync(join(build, "html"), { recursive: true, force: true });
  const vitepress = join(site, "node_modules", "vitepress", "bin", "vitepress.js");
  const lines = [];
  await run(process.execPath, [vitepress, "build", site], {
    cwd: site,
    onLine: (line) => lines.push(line),
  });
  if (lines.some((line) => /warn|deprecat|error|not (loaded|found)/i.test(line)))
    throw new Error(`VitePress warns:\n${lines.join("\n")}`);
}
