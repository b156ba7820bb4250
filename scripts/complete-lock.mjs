/**
 * Completes package-lock.json: npm leaves out the packages of other platforms that the registry in use
 * doesn't serve, and then `npm ci` refuses the file. Adds them with the version that their parent pins.
 *
 *   node scripts/complete-lock.mjs
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { packageRoot } from "../setup/paths.mjs";
import { missingOptional } from "./lib/lockfile.mjs";

const path = join(packageRoot, "package-lock.json");
const lock = JSON.parse(readFileSync(path, "utf8"));
const missing = missingOptional(lock);
for (const { key, entry } of missing) lock.packages[key] = entry;
const sorted = Object.entries(lock.packages).sort(([a], [b]) => a.localeCompare(b, "en"));
lock.packages = Object.fromEntries(sorted);
if (missing.length > 0) writeFileSync(path, `${JSON.stringify(lock, undefined, 2)}\n`);
process.stdout.write(`${missing.length} packages of other platforms added\n`);
