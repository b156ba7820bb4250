/** What VitePress has built, made ready for the server: no inline script, nothing from elsewhere, compressed, with a manifest. */
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname, extname, join } from "node:path";
import { gzipSync } from "node:zlib";

/** Of all files of the site, compressed: it travels in the package. */
export const gzipBytesMax = 4_000_000;

const types = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".svg": "image/svg+xml",
  ".webp": "image/webp",
  ".json": "application/json",
};
/** Built for a server of another kind, or not asked for by a page of ours. */
const unwanted = /(^|\/)(hashmap\.json|.*\.woff2)$/;

const hashOf = (bytes) => createHash("sha256").update(bytes).digest("hex");

/**
 * @param {string} html The folder that VitePress has written.
 * @param {string} colours A style sheet that all pages need.
 * @param {string} folder Where the server looks.
 * @returns {{ files: number, gzipBytes: number }}
 */
export function packSite(html, colours, folder) {
  const files = readSite(html, colours);
  const wrong = Array.from(files, ([name, bytes]) => faultsOf(name, bytes)).flat();
  if (wrong.length > 0) throw new Error(wrong.join("\n"));
  const fresh = `${folder}.new`;
  rmSync(fresh, { recursive: true, force: true });
  let gzipBytes = 0;
  const manifest = {};
  for (const [name, bytes] of files) {
    const zipped = gzipSync(bytes, { level: 9 });
    gzipBytes += zipped.length;
    mkdirSync(dirname(join(fresh, name)), { recursive: true });
    writeFileSync(join(fresh, `${name}.gz`), zipped);
    manifest[name] = { type: types[extname(name)], hash: hashOf(bytes).slice(0, 32) };
  }
  if (gzipBytes > gzipBytesMax)
    throw new Error(`The site has ${gzipBytes} bytes compressed; it may have ${gzipBytesMax}.`);
  writeFileSync(join(fresh, "manifest.json"), JSON.stringify({ files: manifest }));
  rmSync(folder, { recursive: true, force: true });
  renameSync(fresh, folder);
  return { files: files.size, gzipBytes };
}

/** @returns {Map<string, Buffer>} */
function readSite(html, colours) {
  const files = new Map();
  const add = (prefix, text, ending) => {
    const name = `assets/${prefix}.${hashOf(text).slice(0, 10)}.${ending}`;
    files.set(name, Buffer.from(text));
    return `/docs/${name}`;
  };
  const sheet = add("colours", colours, "css");
  const entries = readdirSync(html, { recursive: true, withFileTypes: true });
  for (const entry of entries.filter((one) => one.isFile())) {
    const path = join(entry.parentPath ?? entry.path, entry.name);
    const name = path.slice(html.length + 1);
    if (unwanted.test(name)) continue;
    const bytes = readFileSync(path);
    const isPage = name.endsWith(".html");
    files.set(name, isPage ? Buffer.from(pageOf(String(bytes), sheet, add)) : bytes);
  }
  return files;
}

/** What stands in the page as a script becomes a file that it names: the policy forbids the former. */
export function pageOf(text, sheet, add) {
  return text
    .replace(
      /<script( id="[\w-]+")?>([\s\S]*?)<\/script>/g,
      (_, _id, code) => `<script src="${add("inline", code, "js")}"></script>`,
    )
    .replace("</head>", `<link rel="stylesheet" href="${sheet}"></head>`);
}

/** A page that asks another host for something, or that the policy would break. */
export function faultsOf(name, bytes) {
  if (!(extname(name) in types)) return [`${name}: no type is known for it`];
  if (!name.endsWith(".html")) return [];
  const text = String(bytes);
  const foreign = [
    ...text.matchAll(/<(?:script|link|img|iframe)\b[^>]*?(?:src|href)="((?:https?:)?\/\/[^"]+)"/g),
  ];
  const inline = [...text.matchAll(/<script(?![^>]*\bsrc=)[^>]*>|\son[a-z]+="/g)];
  return [
    ...foreign.map(([, address]) => `${name} asks ${address} for something`),
    ...inline.map(([found]) => `${name} has ${found} in it`),
  ];
}
