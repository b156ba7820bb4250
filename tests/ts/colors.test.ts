import { expect, it } from "vitest";
import { hasColors } from "../../src-ts/colors.js";

it.each([
  [{ isTTY: true }, {}, true],
  [{ isTTY: true }, { CI: "true" }, true],
  [{ isTTY: true }, { NO_COLOR: "1" }, false],
  [{ isTTY: true }, { NO_COLOR: "" }, true],
  [{ isTTY: true }, { TERM: "dumb" }, false],
  [{ isTTY: false }, {}, false],
  [{ isTTY: false }, { CI: "true", FORCE_COLOR: "1" }, false],
  [{}, {}, false],
])("%j with %j: %s", (stream, env, expected) => {
  expect(hasColors(stream, env)).toBe(expected);
});
