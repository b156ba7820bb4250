/**
 * What the walk over a schema takes, the grammar keeps: texts made at random by each grammar are valid by ajv.
 * `npm run schemas` has a model make them, and more of them.
 */
import { afterAll, describe, expect, it } from "vitest";
import { isServingError } from "../../src-ts/errors.js";
import { enforceable } from "../../src-ts/server/submissions/schemas/index.js";
import { GrammarMachine } from "../support/grammars.js";
import { complaintOf, namedSchemas, validatorOf } from "../support/schemas.js";

const seed = 12;
const textsPerSchema = 4;

const machine = new GrammarMachine();
afterAll(() => machine[Symbol.dispose]());

const schemas = namedSchemas();

it("there are at least 300, each by its own name", () => {
  expect(schemas.length).toBeGreaterThanOrEqual(300);
  expect(new Set(schemas.map(({ name }) => name)).size).toBe(schemas.length);
});

/** The schema as the worker gets it, or the refusal's path. */
function walked(schema: unknown): { text: string } | { path: string } {
  try {
    return { text: enforceable(schema, ["schema"]) };
  } catch (error) {
    if (!isServingError(error) || error.param === null) throw error;
    return { path: error.param };
  }
}

describe("each is refused with a path, or every text of its grammar is valid", () => {
  it.each(schemas)("$name", async ({ schema, name }) => {
    const result = walked(schema);
    const isMeant = name.startsWith("refused");
    if ("path" in result) {
      expect(isMeant, `refused: ${result.path}`).toBe(true);
      return expect(result.path).toMatch(/^schema/);
    }
    const outcome = await machine.made(result.text, textsPerSchema, seed);
    if ("refused" in outcome) return expect(isMeant, outcome.refused).toBe(true);
    expect(isMeant, "it was taken").toBe(false);
    const validate = validatorOf(schema);
    const complaints = outcome.made.flatMap((text) => {
      const complaint = text === null ? undefined : complaintOf(validate, text);
      return complaint === undefined ? [] : [{ text, complaint }];
    });
    expect(complaints).toEqual([]);
  });
});
