/** Bundling of the web console: one script, one style, one page, named by their content. */
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { brotliCompress, constants, gzip } from "node:zlib";
import { build } from "esbuild";
import { packageRoot } from "../../setup/paths.mjs";

const source = join(packageRoot, "src-ts", "console");
export const consoleFolder = join(packageRoot, "dist", "console");

/** Of all that the page loads, by gzip. */
export const gzipBytesMax = 150_000;

const types = {
  html: "text/html; charset=utf-8",
  js: "text/javascript; charset=utf-8",
  css: "text/css; charset=utf-8",
  svg: "image/svg+xml",
};

/** @returns {Promise<{ gzipBytes: number, files: number, ms: number }>} */
export async function buildConsole(folder = consoleFolder) {
  const begin = performance.now();
  const bundled = await bundle();
  const files = new Map();
  const names = {};
  for (const [place, { text, ending }] of Object.entries(bundled)) {
    const name = `${place.replace(/-\w+$/, "")}-${hashOf(text).slice(0, 10)}.${ending}`;
    names[place] = `/console/${name}`;
    files.set(name, text);
  }
  const page = "index.html";
  files.set(page, pageOf(names));
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const sizes = await Promise.all(
    Array.from(files, ([name, text]) => write(folder, name, Buffer.from(text))),
  );
  const manifest = { page, files: Object.fromEntries(Array.from(files, manifestEntry)) };
  writeFileSync(join(folder, "manifest.json"), JSON.stringify(manifest));
  const gzipBytes = sizes.reduce((sum, size) => sum + size, 0);
  if (gzipBytes > gzipBytesMax)
    throw new Error(`The console has ${gzipBytes} bytes compressed; it may have ${gzipBytesMax}.`);
  return { gzipBytes, files: files.size, ms: Math.round(performance.now() - begin) };
}

async function bundle() {
  const { outputFiles } = await build({
    entryPoints: [join(source, "main.tsx"), join(source, "theme.ts")],
    outdir: consoleFolder,
    write: false,
    bundle: true,
    minify: true,
    format: "esm",
    target: ["es2022", "chrome123", "firefox120", "safari17.5"],
    jsx: "automatic",
    jsxImportSource: "preact",
    conditions: ["browser"],
    alias: { "#websocket": join(packageRoot, "src-ts", "client", "websocket-browser.ts") },
    legalComments: "none",
    tsconfig: join(source, "tsconfig.json"),
    logLevel: "warning",
  });
  const named = (name) => outputFiles.find(({ path }) => path.endsWith(name)).text;
  return {
    theme: { text: named("theme.js"), ending: "js" },
    main: { text: named("main.js"), ending: "js" },
    "main-css": { text: named("main.css"), ending: "css" },
    icon: { text: readFileSync(join(source, "icon.svg"), "utf8"), ending: "svg" },
  };
}

function pageOf(names) {
  const template = readFileSync(join(source, "index.html"), "utf8");
  return template.replace(/\{\{([\w-]+)\}\}/g, (_, place) => {
    if (names[place] === undefined) throw new Error(`index.html: there is no ${place}`);
    return names[place];
  });
}

async function write(folder, name, bytes) {
  const [zipped, brotli] = await Promise.all([
    promisify(gzip)(bytes, { level: 9 }),
    promisify(brotliCompress)(bytes, {
      params: {
        [constants.BROTLI_PARAM_QUALITY]: 11,
        [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length,
      },
    }),
  ]);
  writeFileSync(join(folder, name), bytes);
  writeFileSync(join(folder, `${name}.gz`), zipped);
  writeFileSync(join(folder, `${name}.br`), brotli);
  return zipped.length;
}

const manifestEntry = ([name, text]) => [
  name,
  { type: types[name.split(".").at(-1)], hash: hashOf(text).slice(0, 32) },
];

function hashOf(text) {
  return createHash("sha256").update(text).digest("hex");
}
