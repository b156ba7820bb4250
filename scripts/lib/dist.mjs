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
  // The console's files are the bundler's.
  const isCompiled = (path) => output.test(path) && !path.startsWith("dist/console/");
  return listInputs(root, ["dist"], isCompiled).filter((path) => {
    const source = path
      .replace(/^dist\//, "")
      .replace(output, (_, inTypes, inCode) => ((inTypes ?? inCode) === "m" ? ".m" : "."));
    return !["ts", "js"].some((ending) => existsSync(join(root, `${source}${ending}`)));
  });
}
