import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { commandLine, packageRoot } from "../../../setup/paths.mjs";
import { shellCommand } from "../../../src-ts/environment/invocation.js";

let cwd: string;
beforeEach(() => {
  cwd = realpathSync(mkdtempSync(join(tmpdir(), "mlx-serving-invocation-")));
});
afterEach(() => rmSync(cwd, { recursive: true }));

function link(...path: string[]): void {
  mkdirSync(join(cwd, ...path), { recursive: true });
  symlinkSync(commandLine, join(cwd, ...path, "mlx-serving"));
}

const command = (env: NodeJS.ProcessEnv = {}, folder = cwd) =>
  shellCommand("build-native", { cwd: folder, env });
const byFile = `${process.execPath} ${commandLine} build-native`;

it("is npx's in a clone, and in a project that depends on the package", () => {
  expect(command({}, packageRoot)).toBe("npx mlx-serving build-native");
  expect(command({}, join(packageRoot, "docs"))).toBe("npx mlx-serving build-native");
  link("node_modules", ".bin");
  expect(command()).toBe("npx mlx-serving build-native");
  mkdirSync(join(cwd, "below"));
  expect(command({}, join(cwd, "below"))).toBe("npx mlx-serving build-native");
});

it("is by file for whoever ran it by npx, whose folders are on no path but npm's", () => {
  link("npx", ".bin");
  const npx = { npm_lifecycle_event: "npx", PATH: join(cwd, "npx", ".bin") };
  expect(command(npx)).toBe(byFile);
});

it("is by name where that is on the path", () => {
  link("bin");
  expect(command({ PATH: `/nowhere:${join(cwd, "bin")}` })).toBe("mlx-serving build-native");
});

it("is by file where the name is somebody else's, or the project is", () => {
  mkdirSync(join(cwd, "bin"));
  writeFileSync(join(cwd, "bin", "mlx-serving"), "");
  link("other");
  expect(command({ PATH: `${join(cwd, "bin")}:${join(cwd, "other")}` })).toBe(byFile);
  mkdirSync(join(cwd, "node_modules"));
  expect(command()).toBe(byFile);
});
