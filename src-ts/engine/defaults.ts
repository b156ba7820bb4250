/** What a submission that leaves something out means. */
import { failure } from "../failures.js";
import type { Sampling, SamplingDefaults } from "../worker/messages.js";
import type { SamplingRequest, Submission, SubmissionInput } from "./api.js";

/** Changes nothing: the likeliest token of all. */
export const neutralSampling: SamplingDefaults = {
  temperature: 0,
  topP: 1,
  topK: 0,
  minP: 0,
  repetitionPenalty: 1,
};

export function withDefaults(
  request: SamplingRequest,
  defaults: SamplingDefaults = neutralSampling,
): Sampling {
  return {
    ...request,
    seed: seedOf(request.seed),
    temperature: request.temperature ?? defaults.temperature,
    topP: request.topP ?? defaults.topP,
    topK: request.topK ?? defaults.topK,
    minP: request.minP ?? defaults.minP,
    repetitionPenalty: request.repetitionPenalty ?? defaults.repetitionPenalty,
  };
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
    sampling: {
      ...sampling,
      presencePenalty: sampling.presencePenalty ?? 0,
      frequencyPenalty: sampling.frequencyPenalty ?? 0,
      logitBias: sampling.logitBias ?? [],
      seed: sampling.seed ?? Math.floor(random() * randomSeeds),
      stop: sampling.stop ?? [],
      logprobs: sampling.logprobs ?? -1,
    },
    owner,
    clientId: input.clientId ?? owner,
    priority: input.priority ?? "normal",
    store: input.store ?? false,
    abandonment: input.abandonment ?? { kind: "keep" },
    idPrefix: input.idPrefix ?? "resp",
  };
}
