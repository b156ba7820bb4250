/**
 * The official JSON Schema Test Suite against the grammars: of every schema that is not refused each valid
 * instance is taken, as compact JSON with its properties in the schema's order, and no invalid one. The suite is
 * fetched by its hash when this runs, and skipped where it can't be.
 */
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { isServingError } from "../../src-ts/errors.js";
import { enforceable } from "../../src-ts/server/submissions/schemas/index.js";
import { GrammarMachine } from "../support/grammars.js";

interface Case {
  description: string;
  schema: unknown;
  tests: { description: string; data: unknown; valid: boolean }[];
}

/** Of these files nothing is asserted by default, and here it is. */
const assertedHere = new Set(["format.json"]);

const root = resolve(import.meta.dirname, "../..");
const found = spawnSync(
  join(root, "python/.venv/bin/python"),
  [join(root, "tests/python/support/schema_suite.py")],
  { encoding: "utf8" },
);
const folder = found.status === 0 ? found.stdout.trim() : undefined;

const machine = new GrammarMachine();
const refused = new Map<string, number>();
let taken = 0;
afterAll(() => {
  machine[Symbol.dispose]();
  const list = [...refused].toSorted(([, a], [, b]) => b - a).map(([why, n]) => `${why} ${n}`);
  process.stdout.write(`schema suite: ${taken} schemas kept; refused: ${list.join(", ")}\n`);
});

function note(keyword: string): void {
  refused.set(keyword, (refused.get(keyword) ?? 0) + 1);
}

function walked(schema: unknown): string | undefined {
  try {
    return enforceable(schema, ["s"]);
  } catch (error) {
    if (!isServingError(error)) throw error;
    note(/[^.\]]*$/.exec(error.param ?? "")![0].replace(/\[.*/, "") || "(schema)");
    return undefined;
  }
}

/** With the properties of all its objects in the order in which a schema first names them. */
function inOrder(value: unknown, schema: string): unknown {
  if (Array.isArray(value)) return value.map((one) => inOrder(one, schema));
  if (typeof value !== "object" || value === null) return value;
  const place = (key: string) => {
    const at = schema.indexOf(`${JSON.stringify(key)}:`);
    const required = schema.indexOf(JSON.stringify(key));
    return at >= 0 ? at : required >= 0 ? schema.length + required : Number.POSITIVE_INFINITY;
  };
  const entries = Object.entries(value).map(([key, one]) => [key, inOrder(one, schema)] as const);
  return Object.fromEntries(entries.toSorted(([a], [b]) => (place(a) < place(b) ? -1 : 1)));
}

describe.skipIf(folder === undefined)("the official suite", () => {
  const files = folder === undefined ? [] : readdirSync(folder).toSorted();
  it("is there", () => {
    expect(files.length).toBeGreaterThan(40);
  });

  it.each(files)("%s", async (file) => {
    const cases = JSON.parse(readFileSync(join(folder!, file), "utf8")) as Case[];
    const wrong: string[] = [];
    for (const { description, schema, tests } of cases) {
      const text = typeof schema === "object" ? walked(schema) : undefined;
      if (text === undefined) continue;
      const texts = tests.map(({ data }) => JSON.stringify(inOrder(data, text)));
      const outcome = await machine.takes(text, texts);
      if ("refused" in outcome) {
        note("(contradiction or overlap)");
        continue;
      }
      taken++;
      for (const [i, { description: test, valid }] of tests.entries()) {
        if (outcome.takes[i] === valid) continue;
        if (valid && assertedHere.has(file)) continue;
        wrong.push(`${description}: ${valid ? "" : "NOT "}${test}: ${texts[i]}`);
      }
    }
    expect(wrong).toEqual([]);
  });
});
