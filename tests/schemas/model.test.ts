/**
 * `npm run schemas`: every schema of tests/fixtures/schemas, answered by the embedded model: refused with a path, or
 * each answer that ended is valid by ajv. SCHEMAS_ANSWERS says how many of each; SCHEMAS_MATCHING and
 * SCHEMAS_EVERY, of which.
 */
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { createEngine, type Engine } from "../../src-ts/create-engine.js";
import { isServingError } from "../../src-ts/errors.js";
import { enforceable } from "../../src-ts/server/submissions/schemas/index.js";
import { complaintOf, namedSchemas, validatorOf } from "../support/schemas.js";

vi.setConfig({ testTimeout: 600_000, hookTimeout: 180_000 });

const answersOfEach = Number(process.env.SCHEMAS_ANSWERS ?? 20);
const matching = process.env.SCHEMAS_MATCHING ?? "";
const every = Number(process.env.SCHEMAS_EVERY ?? 1);
const maxTokens = 300;

let engine: Engine;
const seen = { refused: 0, valid: 0, cut: 0 };

beforeAll(async () => {
  engine = await createEngine({ maxBatch: 16 });
  await engine.whenReady();
});
afterAll(async () => {
  await engine?.close();
  process.stdout.write(`schemas: ${JSON.stringify(seen)}\n`);
});

async function answers(text: string, name: string): Promise<(string | undefined)[]> {
  const words = name.slice(name.indexOf(" ") + 1).replaceAll("_", " ");
  const messages = [{ role: "user", content: `Give an example of a ${words} as JSON.` }];
  const responses = await Promise.all(
    Array.from({ length: answersOfEach }, (_, seed) =>
      engine.submit({
        input: { kind: "chat", messages },
        constraint: { kind: "json", text },
        maxTokens,
        sampling: { temperature: 1, seed },
      }),
    ),
  );
  return Promise.all(
    responses.map(async (response) => {
      for await (const _entry of response.read(-1));
      expect(["stop", "length"]).toContain(response.ending!.kind);
      return response.ending!.kind === "stop" ? response.text : undefined;
    }),
  );
}

describe("each is refused with a path, or every answer that ends is valid", () => {
  it.each(namedSchemas(matching, every))("$name", async ({ name, schema }) => {
    let made: (string | undefined)[];
    try {
      made = await answers(enforceable(schema, ["schema"]), name);
    } catch (error) {
      if (!isServingError(error)) throw error;
      expect(error.status).toBe(400);
      expect(error.param).toMatch(/^(schema|constraint)/);
      seen.refused++;
      return;
    }
    const validate = validatorOf(schema);
    for (const text of made) {
      if (text === undefined) seen.cut++;
      else {
        expect(complaintOf(validate, text), text).toBeUndefined();
        seen.valid++;
      }
    }
  });
});
