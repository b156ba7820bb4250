/**
 * `npm run docs:check`: runs every code block of README.md and of docs/, page by page, as a reader would. Needs a
 * network the first time: tutorials install packages. Exit code 1 if a block fails.
 *
 *   node scripts/docs-check.mjs
 *   node scripts/docs-check.mjs docs/tutorials/operator.md
 */
import { interruptible } from "../setup/clone/interrupt.mjs";
import { setUp } from "../setup/clone/setup.mjs";

await interruptible((signal) => setUp({ model: true, native: true, signal }));
// They need packages that the set-up has just installed.
const { runPages } = await import("./lib/pages/all.mjs");
const failed = await runPages(process.argv.slice(2), (line) => process.stdout.write(`${line}\n`));
process.exit(failed > 0 ? 1 : 0);
