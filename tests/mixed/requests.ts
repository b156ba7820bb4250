/** The requests of the mixed run: what each asks for, and what its answer must be. */
import type { ValidateFunction } from "ajv";
import { isServingError } from "../../src-ts/errors.js";
import { enforceable } from "../../src-ts/server/submissions/schemas/index.js";
import { complaintOf, namedSchemas, validatorOf } from "../support/schemas.js";

export const kinds = ["constrained", "greedy", "seeded", "tools", "cancelled"] as const;
export type Kind = (typeof kinds)[number];

/** Of a hundred. */
const shares: Readonly<Record<Kind, number>> = {
  constrained: 35,
  greedy: 25,
  seeded: 20,
  tools: 10,
  cancelled: 10,
};

export interface Mixed {
  kind: Kind;
  body: object;
  /** Of one that is asked in quiet too: it says the same each time. */
  reference: number | undefined;
  /** Why its answer is wrong; undefined: it is not. */
  complaint: (message: Message) => string | undefined;
}

export interface Message {
  content: string | null;
  tool_calls?: { function: { name: string; arguments: string } }[];
}

const constrainedTokensMax = 160;
const freeTokens = { min: 8, max: 24 };
const subjects = "rivers lighthouses bread tides clocks bees maps comets bridges rain".split(" ");
const referencesOfKind = 12;

interface Chance {
  int(min: number, max: number): number;
  pick<T>(list: readonly T[]): T;
}

/** `references`: bodies that are asked in quiet first. */
export function mixedRequests(count: number, chance: Chance) {
  const schemas = enforceableSchemas();
  const references = (["greedy", "seeded"] as const).flatMap((kind) =>
    Array.from({ length: referencesOfKind }, (_, index) => ({ kind, body: freeBody(kind, index) })),
  );
  const known = { greedy: 0, seeded: referencesOfKind };
  const bag = kinds.flatMap((kind) => Array<Kind>(shares[kind]).fill(kind));
  const free = { reference: undefined, complaint: () => undefined };
  const one = (kind: Kind): Mixed => {
    if (kind === "constrained")
      return { ...free, kind, ...constrained(chance.pick(schemas), chance) };
    if (kind === "tools") return { ...free, kind, ...offering(chance) };
    if (kind === "cancelled") return { ...free, kind, body: freeBody("greedy", chance.int(0, 99)) };
    const reference = known[kind] + chance.int(0, referencesOfKind - 1);
    return { ...free, kind, reference, body: references[reference]!.body };
  };
  const requests = Array.from({ length: count }, () => one(chance.pick(bag)));
  return { requests, references };
}

function freeBody(kind: "greedy" | "seeded", index: number): object {
  const subject = subjects[index % subjects.length]!;
  const sampling = kind === "greedy" ? { temperature: 0 } : { temperature: 0.9, seed: 100 + index };
  const max_tokens = freeTokens.min + (index % (freeTokens.max - freeTokens.min + 1));
  const content = `Tell me about ${subject}, number ${index}.`;
  return { messages: [{ role: "user", content }], max_tokens, ...sampling };
}

interface Enforceable {
  name: string;
  schema: Record<string, unknown>;
  validate: ValidateFunction;
}

function enforceableSchemas(): Enforceable[] {
  return namedSchemas().flatMap(({ name, schema }) => {
    try {
      enforceable(schema, ["schema"]);
    } catch (error) {
      if (isServingError(error)) return [];
      throw error;
    }
    return [{ name, schema, validate: validatorOf(schema) }];
  });
}

function constrained({ name, schema, validate }: Enforceable, chance: Chance) {
  const words = name.slice(name.indexOf(" ") + 1).replaceAll("_", " ");
  const body = {
    messages: [{ role: "user", content: `Give an example of a ${words} as JSON.` }],
    response_format: { type: "json_schema", json_schema: { name: "answer", schema } },
    max_tokens: constrainedTokensMax,
    temperature: chance.pick([0, 0.7, 1]),
    seed: chance.int(0, 1_000),
  };
  return { body, complaint: ({ content }: Message) => complaintOf(validate, content ?? "") };
}

const parameters = {
  type: "object",
  properties: { path: { type: "string", maxLength: 20 } },
  required: ["path"],
  additionalProperties: false,
};

/**
 * What is called has valid arguments. The choice is the model's: where calls are forced, "required" belongs here, and
 * an answer without a call is wrong.
 */
function offering(chance: Chance) {
  const body = {
    messages: [{ role: "user", content: `Look at file ${chance.int(0, 99)}.` }],
    tools: [{ type: "function", function: { name: "look", parameters } }],
    tool_choice: "auto",
    max_tokens: freeTokens.max,
    seed: chance.int(0, 1_000),
  };
  const validate = validatorOf(parameters);
  const complaint = ({ tool_calls = [] }: Message) =>
    tool_calls
      .map(({ function: called }) => complaintOf(validate, called.arguments))
      .find((wrong) => wrong !== undefined);
  return { body, complaint };
}
