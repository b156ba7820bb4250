/** Where this machine has a Chromium or a Chrome. None: who needs one says so and goes without. */
import { findOnPath, isExecutable } from "../../../setup/native/tools.mjs";

const names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
const places = ["/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"];

/** @returns {string | undefined} */
export function findChromium(env = process.env) {
  const { MLX_SERVING_CHROMIUM: given } = env;
  if (given !== undefined && isExecutable(given)) return given;
  const found = names.map((name) => findOnPath(name, env)).find((path) => path !== undefined);
  return found ?? places.find(isExecutable);
}
