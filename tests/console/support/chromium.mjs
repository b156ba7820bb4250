/** Where this machine has a Chromium or a Chrome. None: who needs one says so and goes without. */
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";

const names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
const places = ["/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"];

/** @returns {string | undefined} */
export function findChromium({ PATH = "", MLX_SERVING_CHROMIUM } = process.env) {
  const given = MLX_SERVING_CHROMIUM === undefined ? [] : [MLX_SERVING_CHROMIUM];
  const onPath = PATH.split(delimiter).flatMap((folder) => names.map((name) => join(folder, name)));
  return [...given, ...onPath, ...places].find(isExecutable);
}

function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
