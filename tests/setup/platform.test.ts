import { expect, it } from "vitest";
import { checkPlatform } from "../../setup/platform.mjs";

it("refuses Windows and old versions of Node, in one sentence and with exit code 2", () => {
  expect(() => checkPlatform("win32", "22.0.0")).toThrow("not on Windows");
  expect(() => checkPlatform("linux", "20.10.0")).toThrow("needs Node 20.11 or newer");
  expect(() => checkPlatform("linux", "18.20.0")).toThrow("this is 18.20.0");
  try {
    checkPlatform("win32");
  } catch (error) {
    expect(error).toMatchObject({ exitCode: 2 });
  }
});

it("takes macOS and Linux with Node 20.11 and newer", () => {
  for (const version of ["20.11.0", "22.1.0", "26.0.0"]) {
    checkPlatform("darwin", version);
    checkPlatform("linux", version);
  }
});
