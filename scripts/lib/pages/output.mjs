/** Is what was printed what a page says one sees? Pure. */

const escaped = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
// biome-ignore lint/suspicious/noControlCharactersInRegex: colours of a terminal begin with one.
const colour = /\u001b\[[\d;]*m/g;

/**
 * @param {string} printed
 * @param {string} expected Lines; `…` stands for anything, a line of it alone for any lines.
 * @returns {string | undefined} The first line that isn't there.
 */
export function missingLine(printed, expected) {
  const lines = printed
    .replace(colour, "")
    .split(/\r?\n/)
    .map((line) => line.trimEnd());
  let at = 0;
  for (const line of expected.split("\n").map((one) => one.trimEnd())) {
    if (line === "" || line === "…") continue;
    const wanted = new RegExp(`^\\s*${line.trim().split("…").map(escaped).join(".*")}$`);
    const found = lines.findIndex((one, index) => index >= at && wanted.test(one));
    if (found < 0) return line;
    at = found + 1;
  }
  return undefined;
}
