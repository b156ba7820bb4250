/**
 * The pages of the site, made ready for VitePress: those of the repository with their links led to pages of the site,
 * those that are generated, and a page for each file and folder that they name, since a reader of the site has no repository.
 */
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { dirname, extname, join, posix } from "node:path";
import { packageRoot } from "../../../setup/paths.mjs";
import { decisionsFolder, pageOf, protocolPage, sections, sourcePageOf } from "./contents.mjs";
import { targetOf, withLinks } from "./links.mjs";

const images = new Set([".webp", ".png", ".svg"]);
/** Documents that the server gives: their page is what is generated from them. */
const documents = {
  "docs/openapi.json": "docs/reference/http.md",
  "docs/asyncapi.json": "docs/reference/socket.md",
};
const languages = {
  ".mjs": "js",
  ".res": "rescript",
  ".resi": "rescript",
  ".plist": "xml",
  ".rb": "ruby",
  ".service": "ini",
  ".conf": "text",
  ".env": "ini",
  ".py": "python",
  "": "text",
};

const read = (path) => readFileSync(join(packageRoot, path), "utf8");

/** @returns {string[]} Pages of the repository, in the order of the site. */
export function repositoryPages() {
  return [...sections.flatMap(({ pages }) => pages), protocolPage, ...decisionPages()];
}

export function decisionPages() {
  const names = readdirSync(join(packageRoot, decisionsFolder)).filter((name) =>
    name.endsWith(".md"),
  );
  return names.sort().map((name) => `${decisionsFolder}/${name}`);
}

/**
 * Writes all pages into a folder, which is emptied before.
 * @param {string} folder
 * @param {Record<string, string>} generated Markdown by page of the reference.
 * @returns {string[]} What is wrong: links that lead nowhere.
 */
export function stage(folder, generated) {
  rmSync(folder, { recursive: true, force: true });
  const pages = new Map(repositoryPages().map((path) => [path, read(path)]));
  for (const [name, text] of Object.entries(generated))
    pages.set(`docs/reference/${name}.md`, text);
  const staging = { folder, pages, sources: new Set(), wrong: [] };
  for (const [path, text] of pages) writePage(folder, pageOf(path), staged(staging, path, text));
  // A source's page names no further one.
  for (const path of staging.sources)
    writePage(folder, sourcePageOf(path), sourcePage(staging, path));
  return staging.wrong;
}

/** Notes for those who check the page are no part of it. */
const withoutComments = (text) => text.replace(/^<!--[\s\S]*?-->\n?/gm, "");

/** Its diagrams stay text: what draws them weighs more than the site. */
const withoutDiagrams = (text) => text.replace(/^```mermaid$/gm, "```text");

function staged(staging, path, text) {
  return withLinks(withoutDiagrams(withoutComments(text)), (href) => hrefFor(staging, path, href));
}

function hrefFor(staging, from, href) {
  const target = targetOf(from, href);
  if (target.outside !== undefined) return href;
  const path = documents[target.path] ?? target.path;
  const anchor = target.anchor === undefined ? "" : `#${target.anchor}`;
  if (staging.pages.has(path))
    return path === from && anchor !== "" ? anchor : `${addressOf(path)}${anchor}`;
  if (!existsSync(join(packageRoot, path))) {
    staging.wrong.push(`${from}: ${href} leads nowhere`);
    return href;
  }
  return images.has(extname(path)) ? imageFor(staging, from, path) : sourceFor(staging, path);
}

const addressOf = (path) => `/${pageOf(path).replace(/(^|\/)index$/, "$1")}`;

/** Beside the pages, so that its name gets its content's hash. */
function imageFor({ folder }, from, path) {
  const copy = path.replace(/^docs\//, "images/");
  mkdirSync(dirname(join(folder, copy)), { recursive: true });
  copyFileSync(join(packageRoot, path), join(folder, copy));
  const relative = posix.relative(posix.dirname(pageOf(from)), copy);
  return relative.startsWith(".") ? relative : `./${relative}`;
}

function sourceFor({ sources }, path) {
  sources.add(path);
  return `/${sourcePageOf(path)}`;
}

function sourcePage(staging, path) {
  if (statSync(join(packageRoot, path)).isDirectory()) return folderPage(staging, path);
  const ending = extname(path);
  if (ending === ".md") return staged(staging, path, read(path));
  const language = languages[ending] ?? ending.slice(1);
  return `# ${path}\n\n\`\`\`\`${language}\n${read(path).trimEnd()}\n\`\`\`\`\n`;
}

function folderPage(staging, path) {
  const names = readdirSync(join(packageRoot, path)).sort();
  const lines = names
    .map((name) => `${path}/${name}`)
    .filter((file) => statSync(join(packageRoot, file)).isFile() && !images.has(extname(file)))
    .map((file) => `- [${titleOf(file)}](${hrefFor(staging, "README.md", file)})`);
  return `# ${path}\n\n${lines.join("\n")}\n`;
}

/** A page's own heading, or the file's name. */
export function titleOf(path, text) {
  if (text === undefined && !path.endsWith(".md")) return posix.basename(path);
  return /^# (.+)$/m.exec(text ?? read(path))?.[1].replaceAll("`", "") ?? posix.basename(path);
}

function writePage(folder, page, text) {
  const path = join(folder, `${page}.md`);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
}

/** What stands at the side of each page, for VitePress. */
export function sidebar(generated) {
  const item = (path, text) => ({ text: titleOf(path, text), link: addressOf(path) });
  const own = sections.map(({ title, pages, collapsed }) => ({
    text: title,
    collapsed: collapsed ?? false,
    items: pages.map((path) => item(path)),
  }));
  const reference = {
    text: "Reference",
    collapsed: false,
    items: [item(protocolPage), ...referenceItems(generated, item)],
  };
  const decisions = {
    text: "Decisions",
    collapsed: true,
    items: decisionPages().map((path) => item(path)),
  };
  return [...own.slice(0, -1), reference, ...own.slice(-1), decisions];
}

/** A module's page stands below the page of its language. */
function referenceItems(generated, item) {
  const names = Object.keys(generated);
  const of = (name) => item(`docs/reference/${name}.md`, generated[name]);
  return names
    .filter((name) => !/^(typescript|rescript)-/.test(name))
    .map((name) => {
      const below = names.filter(
        (other) => other.startsWith(`${name}-`) && /^(type|re)script/.test(name),
      );
      return below.length === 0 ? of(name) : { ...of(name), collapsed: true, items: below.map(of) };
    });
}
