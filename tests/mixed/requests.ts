/** The requests of the mixed run, from a seed: what each asks for, and what its answer must be. */
import type { ValidateFunction } from "ajv";
import { isServingError } from "../../src-ts/errors.js";
import { enforceable } from "../../src-ts/server/submissions/schemas/index.js";
import { complaintOf, namedSchemas, validatorOf } from "../support/schemas.js";
import type { Choice } from "./ask.js";

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

/** They go when a time is over, wherever they are then; when they have heard so much; or when they see their prefill begin. */
export type Departure = { afterMs: number } | { afterDeltas: number } | { inPrefill: true };

export interface Body {
  [field: string]: unknown;
  max_tokens: number;
}

export interface Asked {
  kind: Kind;
  body: Body;
  /** Why its answer is wrong; undefined: it is not, or it was cut short and there is nothing to be said of it. */
  complaint: (choice: Choice) => string | undefined;
}

export interface Mixed extends Asked {
  stream: boolean;
  departure?: Departure;
  /** Of one that is asked in quiet too: it says the same each time. */
  reference?: number;
  /** Whose it is, where there are keys. */
  apiKey?: string;
}

const subjects = "rivers lighthouses bread tides clocks bees maps comets bridges rain".split(" ");
const freeTokens = { min: 4, max: 12 };
const keptTokensMax = 64;
const cancelledTokensMax = 40;
/** Of each kind, of so many requests. */
const referencesOfKind = (count: number) => Math.min(12, Math.max(2, Math.floor(count / 50)));
const departure = { afterMs: { min: 20, max: 3_000 }, afterDeltas: { min: 1, max: 6 } };
const drawnAs = { temperature: [0, 0.7, 1], seedMax: 1_000 };

export interface Chance {
  int(min: number, max: number): number;
  pick<T>(list: readonly T[]): T;
  chance(probability: number): boolean;
}

/** `references`: bodies that are asked in quiet first. `brevity`: the bias of what is kept to a schema. */
export function mixedRequests(count: number, chance: Chance, brevity: Record<string, number>) {
  const schemas = enforceableSchemas();
  const known = referencesOfKind(count);
  const make: Record<Kind, () => Asked> = {
    constrained: () => constrained(chance.pick(schemas), brevity, chance),
    greedy: () => free("greedy", chance),
    seeded: () => free("seeded", chance),
    tools: () => offering(brevity, chance),
    cancelled: () => ({ ...free("greedy", chance), kind: "cancelled" }),
  };
  const references = kinds
    .filter((kind) => kind !== "cancelled")
    .flatMap((kind) => Array.from({ length: known }, () => make[kind]()));
  /** Free ones are always of those that are asked in quiet; of the others every other one. */
  const asKnown = (kind: Kind): Partial<Mixed> => {
    const first = references.findIndex((reference) => reference.kind === kind);
    if (first < 0) return {};
    const isKept = kind === "constrained" || kind === "tools";
    if (isKept && chance.chance(0.5)) return {};
    const reference = first + chance.int(0, known - 1);
    return { ...references[reference]!, reference };
  };
  const bag = kinds.flatMap((kind) => Array<Kind>(shares[kind]).fill(kind));
  const one = (kind: Kind): Mixed => {
    const request = { ...make[kind](), stream: chance.chance(0.5), ...asKnown(kind) };
    if (kind !== "cancelled") return request;
    const body = { ...request.body, max_tokens: cancelledTokensMax };
    return { ...request, body, stream: true, departure: departureBy(chance) };
  };
  return { references, requests: Array.from({ length: count }, () => one(chance.pick(bag))) };
}

function departureBy(chance: Chance): Departure {
  const { afterMs, afterDeltas } = departure;
  return chance.chance(0.5)
    ? { afterMs: chance.int(afterMs.min, afterMs.max) }
    : { afterDeltas: chance.int(afterDeltas.min, afterDeltas.max) };
}

export function free(kind: "greedy" | "seeded", chance: Chance): Asked {
  const number = chance.int(0, 999);
  const content = `Tell me about ${chance.pick(subjects)}, number ${number}.`;
  const sampling = kind === "greedy" ? { temperature: 0 } : { temperature: 0.9, seed: number };
  const max_tokens = chance.int(freeTokens.min, freeTokens.max);
  const body = { messages: [{ role: "user", content }], max_tokens, ...sampling };
  const complaint = ({ finish_reason }: Choice) =>
    ["stop", "length"].includes(finish_reason) ? undefined : `it ended by ${finish_reason}`;
  return { kind, body, complaint };
}

export interface Enforceable {
  name: string;
  schema: Record<string, unknown>;
  validate: ValidateFunction;
}

export function enforceableSchemas(): Enforceable[] {
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

const isCut = ({ finish_reason }: Choice) => finish_reason === "length";

export function constrained(
  of: Enforceable,
  brevity: Record<string, number>,
  chance: Chance,
): Asked {
  const { name, schema, validate } = of;
  const words = name.slice(name.indexOf(" ") + 1).replaceAll("_", " ");
  const body = {
    messages: [{ role: "user", content: `Give an example of a ${words} as JSON.` }],
    response_format: { type: "json_schema", json_schema: { name: "answer", schema } },
    ...drawn(brevity, chance),
  };
  const complaint = (choice: Choice) => {
    if (isCut(choice)) return undefined;
    if (choice.finish_reason !== "stop") return `it ended by ${choice.finish_reason}`;
    return complaintOf(validate, choice.content);
  };
  return { kind: "constrained", body, complaint };
}

/** Two of the same parameters: which one is called is the model's choice, or a name's. */
const names = ["look", "open"] as const;
const parameters = {
  type: "object",
  properties: { path: { type: "string", maxLength: 20 }, line: { type: "integer", minimum: 1 } },
  required: ["path"],
  additionalProperties: false,
};
const validateParameters = validatorOf(parameters);

function offering(brevity: Record<string, number>, chance: Chance): Asked {
  const named = chance.pick(names);
  const choice = chance.pick([
    "auto",
    "required",
    { type: "function", function: { name: named } },
  ] as const);
  const body = {
    messages: [{ role: "user", content: `Look at file ${chance.int(0, 99)}.` }],
    tools: names.map((name) => ({ type: "function", function: { name, parameters } })),
    tool_choice: choice,
    parallel_tool_calls: chance.chance(0.5),
    ...drawn(brevity, chance),
  };
  const allowed: readonly string[] = typeof choice === "object" ? [named] : names;
  const isForced = choice !== "auto";
  const complaint = (answer: Choice) => {
    const { calls, content, finish_reason } = answer;
    if (isCut(answer)) return undefined;
    if (isForced && content !== "") return "a forced call has text beside it";
    if (isForced !== (finish_reason === "tool_calls") && isForced) return "there is no call";
    if ((finish_reason === "tool_calls") !== calls.length > 0) return "the ending is of another";
    if (calls.length > 1 && !body.parallel_tool_calls) return "it calls twice";
    if (calls.some(({ name }) => !allowed.includes(name))) return "it calls another tool";
    return calls
      .map((call) => complaintOf(validateParameters, call.arguments))
      .find((wrong) => wrong !== undefined);
  };
  return { kind: "tools", body, complaint };
}

function drawn(brevity: Record<string, number>, chance: Chance) {
  return {
    temperature: chance.pick(drawnAs.temperature),
    seed: chance.int(0, drawnAs.seedMax),
    logit_bias: brevity,
    max_tokens: keptTokensMax,
  };
}
