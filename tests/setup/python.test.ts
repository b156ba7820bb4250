/** Which Python an environment is made with; the environment itself is made in tests/consumers and by every set-up. */
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { interpreterOf, pythonFor } from "../../setup/python.mjs";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "python-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** What says of itself that it is this Python. */
function python(path: string, version: string): string {
  mkdirSync(join(path, ".."), { recursive: true });
  writeFileSync(path, `#!/bin/sh\nprintf '%s\\n' "${path}" "${version}"\n`);
  chmodSync(path, 0o755);
  return path;
}

describe("the Python of an environment", () => {
  const environment = () => join(folder, "environment");
  const found = () => join(folder, "bin", "python3.13");
  const env = (more = {}) => ({
    PATH: [join(folder, "bin"), "/usr/bin", "/bin"].join(delimiter),
    ...more,
  });

  it("is the one it has, whatever else has come since", async () => {
    const own = python(interpreterOf(environment()), "3.11.7");
    python(found(), "3.13.1");
    expect(await pythonFor(environment(), { env: env() })).toEqual({
      path: own,
      version: "3.11.7",
    });
  });

  it.each([
    ["there is none", () => {}],
    ["its Python has gone", () => mkdirSync(join(environment(), "bin"), { recursive: true })],
    ["its Python is too old", () => python(interpreterOf(environment()), "3.10.9")],
  ])("is one that is found where %s", async (_, make) => {
    make();
    const other = python(found(), "3.13.1");
    expect((await pythonFor(environment(), { env: env() })).path).toBe(other);
  });

  it("is the one that the user names", async () => {
    python(interpreterOf(environment()), "3.11.7");
    const named = python(join(folder, "mine"), "3.12.2");
    const options = { env: env({ MLX_SERVING_PYTHON: named }) };
    expect((await pythonFor(environment(), options)).path).toBe(named);
  });
});
