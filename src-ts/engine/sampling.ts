/** Sampling parameters with the model's own defaults. */
import type { Sampling, SamplingDefaults } from "../worker/messages.js";
import type { SamplingRequest } from "./api.js";

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
    temperature: request.temperature ?? defaults.temperature,
    topP: request.topP ?? defaults.topP,
    topK: request.topK ?? defaults.topK,
    minP: request.minP ?? defaults.minP,
    repetitionPenalty: request.repetitionPenalty ?? defaults.repetitionPenalty,
  };
}
