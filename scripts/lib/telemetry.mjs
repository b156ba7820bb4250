/** Bundling of OpenTelemetry's SDK into the file of ours that uses it. */
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";
import { packageRoot } from "../../setup/paths.mjs";

export const bundledFile = join(packageRoot, "dist", "src-ts", "telemetry", "otlp.js");

/** Of the whole SDK, compressed by nobody. */
const bytesMax = 300_000;

const notice =
  "/*! Contains parts of OpenTelemetry JavaScript. Copyright The OpenTelemetry Authors, Apache-2.0. */";

/** Bundled once more it stays as it is. */
export async function bundleTelemetry(file = bundledFile) {
  const begin = performance.now();
  const compiled = readFileSync(file, "utf8");
  if (compiled.startsWith(notice)) return { bytes: compiled.length, ms: 0 };
  const { outputFiles } = await build({
    entryPoints: [file],
    write: false,
    bundle: true,
    minify: true,
    platform: "node",
    format: "esm",
    target: "node20",
    // Its packages are CommonJS to `import`; their ES modules can be cut down to what is used.
    mainFields: ["module", "main"],
    banner: { js: notice },
    legalComments: "none",
    logLevel: "warning",
  });
  const [{ text }] = outputFiles;
  if (text.length > bytesMax)
    throw new Error(`The telemetry has ${text.length} bytes; it may have ${bytesMax}.`);
  writeFileSync(file, text);
  // Of what the compiler has written.
  rmSync(`${file}.map`, { force: true });
  return { bytes: text.length, ms: Math.round(performance.now() - begin) };
}
