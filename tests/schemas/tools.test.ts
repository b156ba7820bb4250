/**
 * `npm run schemas -- --as tools`: the schemas of tests/fixtures/schemas as the parameters of a tool that must be called: refused with
 * a path, or the arguments of every call that ended are valid by ajv. What is cut by the token limit is no call.
 * SCHEMAS_ENGINE=fake has the fake engine call them, which takes the shortest way through each grammar.
 */
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { createEngine, type Engine } from "../../src-ts/create-engine.js";
import type { Response } from "../../src-ts/engine/api.js";
import { isServingError } from "../../src-ts/errors.js";
import { ChatBody } from "../../src-ts/protocol/index.js";
import { chatSubmissions } from "../../src-ts/server/submissions/chat.js";
import { complaintOf, namedSchemas, validatorOf } from "../support/schemas.js";

vi.setConfig({ testTimeout: 600_000, hookTimeout: 180_000 });

const answersOfEach = Number(process.env.SCHEMAS_ANSWERS ?? 20);
const matching = process.env.SCHEMAS_MATCHING ?? "";
const every = Number(process.env.SCHEMAS_EVERY ?? 1);
const maxTokens = 300;
const caller = {
  owner: "local",
  clientId: "local",
  priority: undefined,
  deadlineMs: undefined,
  idempotencyKey: undefined,
};

let engine: Engine;
const seen = { refused: 0, valid: 0, cut: 0 };

beforeAll(async () => {
  const kind = process.env.SCHEMAS_ENGINE === "fake" ? "fake" : "mlx";
  engine = await createEngine({ maxBatch: 16, engine: kind });
  await engine.whenReady();
});
afterAll(async () => {
  await engine?.close();
  process.stdout.write(`schemas as tools: ${JSON.stringify(seen)}\n`);
});

function called(parameters: object, name: string) {
  const words = name.slice(name.indexOf(" ") + 1).replaceAll("_", " ");
  const body = {
    messages: [{ role: "user", content: `Send an example of a ${words}.` }],
    tools: [{ type: "function", function: { name: "send", parameters } }],
    tool_choice: "required",
    parallel_tool_calls: false,
    temperature: 1,
    seed: 1,
    n: answersOfEach,
    max_tokens: maxTokens,
  };
  const submissions = chatSubmissions(ChatBody.parse(body), caller);
  return Promise.all(submissions.map((submission) => engine.submit(submission)));
}

/** Undefined: it was cut. */
async function argumentsOf(response: Response): Promise<string | undefined> {
  for await (const _entry of response.read(-1));
  expect(["toolCalls", "length"]).toContain(response.ending!.kind);
  if (response.ending!.kind === "length") return undefined;
  const items = response.output.filter(({ item }) => item.kind !== "reasoning");
  expect(items).toEqual([
    expect.objectContaining({
      item: expect.objectContaining({ kind: "functionCall", name: "send" }),
    }),
  ]);
  return items[0]!.parts.map(({ text }) => text).join("");
}

describe("each is refused with a path, or the arguments of every call are valid", () => {
  it.each(namedSchemas(matching, every))("$name", async ({ name, schema }) => {
    let responses: Response[];
    try {
      responses = await called(schema, name);
    } catch (error) {
      if (!isServingError(error)) throw error;
      expect(error.status).toBe(400);
      expect(error.param).toMatch(/^tools\[0\]\.function\.parameters/);
      seen.refused++;
      return;
    }
    const validate = validatorOf(schema);
    for (const text of await Promise.all(responses.map(argumentsOf))) {
      if (text === undefined) seen.cut++;
      else {
        expect(complaintOf(validate, text), text).toBeUndefined();
        seen.valid++;
      }
    }
  });
});
