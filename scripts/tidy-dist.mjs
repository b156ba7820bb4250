/**
 * The end of `npm run build:ts`: removes what was compiled from sources that are gone. The compiler leaves
 * it, and npm would pack it.
 */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { packageRoot } from "../setup/paths.mjs";
import { orphansIn } from "./lib/dist.mjs";

for (const path of orphansIn(packageRoot)) rmSync(join(packageRoot, path));
