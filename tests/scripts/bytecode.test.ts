import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { withBytecode } from "../../scripts/lib/bytecode.mjs";
import { environmentFolder, interpreterOf } from "../../setup/python.mjs";

it("leaves an environment as it is that forbids nothing", () => {
  expect(withBytecode({ A: "1" })).toEqual({ A: "1" });
  // As Python has it: an empty variable is none.
  expect(withBytecode({ A: "1", PYTHONDONTWRITEBYTECODE: "" })).toEqual({ A: "1" });
});

it("keeps to a folder that the environment names", () => {
  const env = { PYTHONDONTWRITEBYTECODE: "1", PYTHONPYCACHEPREFIX: "/elsewhere" };
  expect(withBytecode(env)).toEqual({ PYTHONPYCACHEPREFIX: "/elsewhere" });
});

it("compiles a module once, and nothing beside it", () => {
  const folder = mkdtempSync(join(tmpdir(), "mlx-serving-bytecode-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  writeFileSync(join(folder, "once.py"), "print(__cached__)");
  const env = withBytecode({ PATH: process.env.PATH, PYTHONDONTWRITEBYTECODE: "1" });
  const python = interpreterOf(environmentFolder());
  const { stdout } = spawnSync(python, ["-c", "import once"], {
    cwd: folder,
    env,
    encoding: "utf8",
  });
  const compiled = stdout.trim();
  onTestFinished(() => rmSync(dirname(compiled), { recursive: true }));
  expect(compiled.startsWith(`${env.PYTHONPYCACHEPREFIX}/`)).toBe(true);
  expect(existsSync(compiled)).toBe(true);
  expect(readdirSync(folder)).toEqual(["once.py"]);
});
