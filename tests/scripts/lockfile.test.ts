import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { missingOptional } from "../../scripts/lib/lockfile.mjs";

it("package-lock.json serves every platform: npm ci refuses one that lacks an optional package", () => {
  const lock = JSON.parse(readFileSync("package-lock.json", "utf8"));
  const missing = missingOptional(lock).map(({ key }) => key);
  expect(missing, "run node scripts/complete-lock.mjs").toEqual([]);
});

it("finds what a lock file lacks, with the platform from the name", () => {
  const tool = { dev: true, optionalDependencies: { "@a/cli-linux-x64-musl": "1.2.3" } };
  expect(missingOptional({ packages: { "node_modules/tool": tool } })).toEqual([
    {
      key: "node_modules/@a/cli-linux-x64-musl",
      entry: {
        version: "1.2.3",
        cpu: ["x64"],
        dev: true,
        libc: ["musl"],
        optional: true,
        os: ["linux"],
      },
    },
  ]);
});

it("is content with entries at the top or inside their parent, and with ranges", () => {
  const packages = {
    "node_modules/a": { optionalDependencies: { b: "1.0.0", c: "1.0.0", d: "^1.0.0" } },
    "node_modules/b": {},
    "node_modules/a/node_modules/c": {},
  };
  expect(missingOptional({ packages })).toEqual([]);
});
