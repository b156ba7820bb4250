import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { wantsEmbeddedModel, wantsNative } from "../../../setup/clone/wanted.mjs";

let file: string;
beforeEach(() => {
  file = join(mkdtempSync(join(tmpdir(), "mlx-serving-wanted-")), "config.json");
});
afterEach(() => rmSync(file, { force: true }));

it.each([
  [[], {}, true],
  [["--port", "9001"], {}, true],
  [["--engine", "fake"], {}, false],
  [["--engine=fake"], {}, false],
  [["--model", "owner/other"], {}, false],
  [["--model", "owner/other", "--model", "smollm2-135m-instruct"], {}, true],
  [[], { MLX_SERVING_ENGINE: "fake" }, false],
  [["--engine", "mlx"], { MLX_SERVING_ENGINE: "fake" }, true],
  [[], { MLX_SERVING_MODEL: "a,b" }, false],
  [[], { MLX_SERVING_MODEL: "a,smollm2-135m-instruct" }, true],
  [["--help"], {}, false],
])("for %j and %j: %s", (args, env, wanted) => {
  expect(wantsEmbeddedModel(args, env)).toBe(wanted);
});

it("looks into the configuration file, and leaves its mistakes to the server", () => {
  writeFileSync(file, JSON.stringify({ model: ["other"] }));
  expect(wantsEmbeddedModel(["--config", file], {})).toBe(false);
  writeFileSync(file, JSON.stringify({ engine: "fake" }));
  expect(wantsEmbeddedModel(["--config", file], {})).toBe(false);
  writeFileSync(file, "{");
  expect(wantsEmbeddedModel(["--config", file], {})).toBe(true);
});

it.each([
  [{ noBuild: true }, {}, false],
  [{ "no-build": "on" }, {}, false],
  [{ noBuild: false }, {}, true],
  [{ noBuild: true }, { MLX_SERVING_NO_BUILD: "off" }, true],
])("with a file of %j and %j native parts are wanted: %s", (content, env, wanted) => {
  writeFileSync(file, JSON.stringify(content));
  expect(wantsNative(["--config", file], env)).toBe(wanted);
});

it.each([
  [[], {}, true],
  [["--native", "off"], {}, false],
  [["--native=off"], {}, false],
  [[], { MLX_SERVING_NATIVE: "0" }, false],
  [["--native", "auto"], { MLX_SERVING_NATIVE: "off" }, true],
  [["--engine", "fake"], {}, false],
  [["--engine", "fake", "--native", "on"], {}, true],
  [["--no-build"], {}, false],
  [["--native", "on", "--no-build"], {}, false],
  [[], { MLX_SERVING_NO_BUILD: "1" }, false],
  [[], { MLX_SERVING_NO_BUILD: "on" }, false],
  [[], { MLX_SERVING_NO_BUILD: "off" }, true],
  [[], { MLX_SERVING_NO_BUILD: "" }, true],
  [["--help"], {}, false],
])("for %j and %j native parts are wanted: %s", (args, env, wanted) => {
  expect(wantsNative(args, env)).toBe(wanted);
});
