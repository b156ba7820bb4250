/**
 * The end of `npm run build`: bundles the web console of `src-ts/console` into `dist/console`, with its compressed
 * forms and a manifest that the server reads. Fails where the page is larger than it may be.
 *
 *   node scripts/build-console.mjs
 */
import { buildConsole } from "./lib/console.mjs";

const { gzipBytes, files, ms } = await buildConsole();
const kilobytes = (gzipBytes / 1000).toFixed(1);
process.stdout.write(`console: ${files} files, ${kilobytes} KB compressed, ${ms} ms\n`);
