/**
 * `npm run docs:site`: builds the documentation site into `dist/docs`, where the server finds it: the pages of
 * the repository, and a reference that is generated from the code. Any warning is a failure.
 *
 *   node scripts/docs-site.mjs
 */
import { interruptible } from "../setup/clone/interrupt.mjs";
import { setUp } from "../setup/clone/setup.mjs";

await interruptible((signal) => setUp({ model: false, native: false, signal }));
// They need packages that the set-up has just installed.
const { buildSite } = await import("./lib/site/build.mjs");
const begin = performance.now();
const { files, gzipBytes } = await interruptible(() => buildSite());
const seconds = ((performance.now() - begin) / 1000).toFixed(0);
process.stdout.write(
  `documentation: ${files} files, ${(gzipBytes / 1e6).toFixed(2)} MB compressed, ${seconds} s; the server has it under /docs\n`,
);
