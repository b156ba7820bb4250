/**
 * `npm start`: sets a clone up, then goes on as `mlx-serving <subcommand>` in this same process, so that a
 * signal meets one program only.
 *
 *   node setup/clone/main.mjs                        sets up, no more
 *   node setup/clone/main.mjs --run serve --port 9001
 */
import { pathToFileURL } from "node:url";
import { interruptible } from "./interrupt.mjs";
import { commandLine } from "./node.mjs";
import { setUp } from "./setup.mjs";
import { wantsEmbeddedModel, wantsNative } from "./wanted.mjs";

const [mode, ...args] = process.argv.slice(2);
const runs = mode === "--run";
if (mode !== undefined && !runs) {
  process.stderr.write("Usage: node setup/clone/main.mjs [--run SUBCOMMAND [OPTION …]]\n");
  process.exit(2);
}

const options = args.slice(1);
await interruptible((signal) =>
  setUp({
    model: !runs || wantsEmbeddedModel(options),
    native: !runs || wantsNative(options),
    tests: !runs,
    signal,
  }),
);
if (runs) {
  process.argv = [process.execPath, commandLine, ...args];
  await import(pathToFileURL(commandLine).href);
}
