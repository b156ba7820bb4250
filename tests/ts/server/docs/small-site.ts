/** A documentation of a few files, each of which has its name in it. */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { gzipSync } from "node:zlib";

const types: Readonly<Record<string, string>> = {
  "index.html": "text/html",
  "404.html": "text/html",
  "client.html": "text/html",
  "examples/index.html": "text/html",
  "assets/app.1.js": "text/javascript",
};

export function writeSite(folder: string): void {
  const files: Record<string, { type: string; hash: string }> = {};
  for (const [name, type] of Object.entries(types)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, `${name}.gz`), gzipSync(name));
    files[name] = { type, hash: name };
  }
  writeFileSync(join(folder, "manifest.json"), JSON.stringify({ files }));
}
