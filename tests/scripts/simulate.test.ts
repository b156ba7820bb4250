import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

const script = fileURLToPath(new URL("../../scripts/simulate.mjs", import.meta.url));
const simulate = (...args: string[]) =>
  spawnSync(process.execPath, [script, ...args], { encoding: "utf8" });

describe("npm run simulate", () => {
  it("tells one life, and its sum", () => {
    const { status, stdout } = simulate("--seed", "3");
    expect(status).toBe(0);
    expect(stdout).toContain("server 1 listens");
    expect(stdout).toMatch(/← response\.created .*number=0/);
    expect(stdout).toContain('"seeds":1');
  });

  it.each([["--bogus"], ["--seed", "first"], ["--seeds", "9-1"]])(
    "%s %s: 2 and how it is used",
    (...args) => {
      const { status, stderr } = simulate(...args);
      expect(status).toBe(2);
      expect(stderr).toContain("Usage: npm run simulate");
    },
  );
});
