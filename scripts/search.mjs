/**
 * `npm run search`: searches every state of the shipped orchestrator on small configurations, those of `npm test`
 * and larger ones. Takes minutes, or longer than anybody has waited for the `open` ones, which are searched only
 * when they are named; prints a line a configuration. Exit code 1 and a trace when a law is broken.
 *
 *   npm run search
 *   npm run search -- "2 workers × 3"     those whose names begin so
 */
import { spawnSync } from "node:child_process";
import { totalmem } from "node:os";
import { bundleSearch } from "./lib/search/bundle.mjs";

const bundle = await bundleSearch("search", "main.ts");
/** Of the machine's memory: what is kept grows with the states that are found and not yet left. */
const heapShare = 0.6;
const heapMib = Math.floor((totalmem() * heapShare) / 2 ** 20);
// Most of what is made lives for one move: room for it before anything is kept.
const args = [
  "--max-semi-space-size=64",
  `--max-old-space-size=${heapMib}`,
  bundle,
  ...process.argv.slice(2),
];
const { status } = spawnSync(process.execPath, args, { stdio: "inherit" });
process.exitCode = status ?? 1;
