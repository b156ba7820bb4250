/** What the compiler has written: which source each of its files comes from. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { listInputs } from "../../setup/stamp.mjs";

const output = /\.(?:d\.(m?)ts|(m?)js)(?:\.map)?$/;

/**
 * Files of `dist` whose source is gone, relative to the package.
 * @param {string} root
 * @returns {string[]}
 */
export function orphansIn(root) {
  return listInputs(root, ["dist"], (path) => output.test(path)).filter((path) => {
    // The console's files and the command line's are the bundler's.
    if (/^dist\/(?:cli|console)\//.test(path)) return false;
    const source = path
      .replace(/^dist\//, "")
      .replace(output, (_, inTypes, inCode) => ((inTypes ?? inCode) === "m" ? ".m" : "."));
    return !["ts", "js"].some((ending) => existsSync(join(root, `${source}${ending}`)));
  });
}
