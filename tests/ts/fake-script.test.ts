import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { ConfigError, resolveConfig } from "../../src-ts/config.js";
import { readFakeScript } from "../../src-ts/fake-script.js";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "mlx-serving-script-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

function read(content: string) {
  const path = join(folder, "script.json");
  writeFileSync(path, content);
  return readFakeScript(path);
}

it("is a list of what is said to whom", () => {
  const script = [
    { when: "", say: "<think>Hm.</think>Hello" },
    { when: "a", say: "b", tools: false, repeat: true },
  ];
  expect(read(JSON.stringify(script))).toEqual(script);
});

it.each([
  ["[", /is not valid JSON: line 1, column 2: /],
  ["{}", /script\.json, as a whole: .*array/],
  ["[]", /as a whole: /],
  ['[{"when":"a"}]', /, \[0\]\.say: /],
  ['[{"when":"a","say":"b"},{"when":1,"say":"b"}]', /, \[1\]\.when: /],
  ['[{"when":"a","say":"b","tools":"yes"}]', /, \[0\]\.tools: /],
  ['[{"when":"a","say":"b","then":"c"}]', /, \[0\]: .*then/],
])("that is %s is refused with the place", (content, message) => {
  expect(() => read(content)).toThrow(ConfigError);
  expect(() => read(content)).toThrow(message);
});

it("that isn't there is refused, and so is one for a real model", () => {
  expect(() => readFakeScript(join(folder, "absent"))).toThrow("can't be read");
  // `npm start --prefix` runs in another folder than it was typed in.
  expect(() => readFakeScript("absent.json")).toThrow(resolve("absent.json"));
  const flags = { fakeScript: "script.json" };
  expect(() => resolveConfig({ folder, flags })).toThrow("--fake-script is for the fake engine");
  expect(resolveConfig({ folder, flags: { ...flags, engine: "fake" } }).fakeScript).toBe(
    "script.json",
  );
});
