/** The operator's page says which test injects which fault: it must stay true. */
import { existsSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { describe, expect, it } from "vitest";

const docs = resolve(import.meta.dirname, "../../docs");
const page = readFileSync(resolve(docs, "OPERATIONS.md"), "utf8");
const faults = [...page.matchAll(/^\| (\d{1,2}) \|.*\| ([^|]*) \|$/gm)].map(
  ([, number, tests]) => ({
    number: Number(number),
    paths: [...tests!.matchAll(/`(tests\/[^`]+)`/g)].map(([, path]) => path!),
  }),
);

describe("the table of faults", () => {
  it("has every fault", () => {
    expect(faults.map(({ number }) => number)).toEqual(Array.from({ length: 20 }, (_, i) => i + 1));
  });

  it.each(faults)("names tests of fault $number that exist", ({ paths }) => {
    expect(paths.length).toBeGreaterThan(0);
    expect(paths.filter((path) => !existsSync(resolve(docs, "..", path)))).toEqual([]);
  });
});

describe("the threat model", () => {
  const root = resolve(docs, "..");
  const model = readFileSync(resolve(root, "SECURITY.md"), "utf8");
  const tests = [...model.matchAll(/`([^`\s]*\btest[^`\s]*\.(?:py|ts))`/g)].map(
    ([, path]) => path!,
  );

  it("names tests that exist, from the root on", () => {
    expect(tests.length).toBeGreaterThan(15);
    expect(tests.filter((path) => !existsSync(resolve(root, path)))).toEqual([]);
  });
});
