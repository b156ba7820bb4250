/** What a submission that leaves something out means. */
import { failure } from "../../failures.js";
import { neutral, type Sampling, SamplingDefaults } from "../../worker/messages.js";
import type { SamplingRequest, Submission, SubmissionInput } from "../api.js";

/** Changes nothing: the likeliest token of all. */
export const neutralSampling: SamplingDefaults = SamplingDefaults.strip().parse(neutral);

/** What a model's makers say nothing of. */
const ours = withoutKeysOf(neutralSampling, neutral);

export function withDefaults(
  request: SamplingRequest,
  defaults: SamplingDefaults = neutralSampling,
): Sampling {
  return { ...defaults, ...said(request), seed: seedOf(request.seed) };
}

/** As a worker takes it. Throws 400 for what is no integer. */
export function seedOf(seed: number | bigint): bigint {
  if (typeof seed === "bigint" || Number.isInteger(seed)) return BigInt.asUintN(64, BigInt(seed));
  throw failure("invalid_value", { message: "seed must be an integer.", param: "seed" });
}

/** Seeds that nobody has asked for. */
const randomSeeds = 2 ** 32;

/** `random`: 0 ≤ x < 1, for the seed. */
export function completeSubmission(input: SubmissionInput, random: () => number): Submission {
  const owner = input.owner ?? "local";
  const { sampling = {} } = input;
  return {
    ...input,
    sampling: { ...ours, seed: Math.floor(random() * randomSeeds), ...said(sampling) },
    owner,
    clientId: input.clientId ?? owner,
    priority: input.priority ?? "normal",
    store: input.store ?? false,
    abandonment: input.abandonment ?? { kind: "keep" },
    idPrefix: input.idPrefix ?? "resp",
  };
}

/** Undefined is nothing said, and to a program without types null too. */
function said<T extends object>(fields: T): T {
  const entries = Object.entries(fields).filter(([, value]) => value != null);
  return Object.fromEntries(entries) as T;
}

function withoutKeysOf<T extends object, K extends object>(keys: K, from: T): Omit<T, keyof K> {
  const entries = Object.entries(from).filter(([name]) => !Object.hasOwn(keys, name));
  return Object.fromEntries(entries) as Omit<T, keyof K>;
}
