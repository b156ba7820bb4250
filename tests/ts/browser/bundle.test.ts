/** What bundlers make of the package's entries for pages: small, of nothing but ours, and nothing of Node. */
import { gzipSync } from "node:zlib";
import { build, type Metafile } from "esbuild";
import { expect, it } from "vitest";
import { packageRoot as root } from "../../../setup/paths.mjs";

/** Of all of it, client and schemas too, by gzip. */
const gzipBytesMax = 16_000;

async function bundled(entry: string): Promise<{ metafile: Metafile; text: string }> {
  const { metafile, outputFiles } = await build({
    entryPoints: [entry],
    absWorkingDir: root,
    bundle: true,
    minify: true,
    format: "esm",
    // What of Node is imported does not resolve then.
    platform: "browser",
    external: ["react"],
    target: ["es2022", "chrome110", "firefox115", "safari16.4"],
    metafile: true,
    write: false,
    logLevel: "silent",
  });
  return { metafile, text: outputFiles[0]!.text };
}

it.each(["src-ts/browser/index.ts", "src-ts/react/index.ts"])("%s", async (entry) => {
  const { metafile, text } = await bundled(entry);
  const files = Object.keys(metafile.inputs);
  // The socket's file is the package's own, by its `imports`: the compiled one.
  expect(files.filter((path) => !/^(dist\/)?src-ts\/(browser|client|react)\//.test(path))).toEqual(
    [],
  );
  const outside = Object.values(metafile.outputs).flatMap(({ imports }) => imports);
  expect(outside.map(({ path }) => path)).toEqual(entry.includes("react") ? ["react"] : []);
  expect(gzipSync(text).length).toBeLessThan(gzipBytesMax);
});
