/** How the next token is drawn, from the fields of a body. What it leaves out, the engine has a default for. */
import type { SamplingRequest } from "../../engine/api.js";
import { conflict } from "./conflict.js";

/** The sampling fields of any body. */
export interface SamplingFields {
  temperature?: number | null | undefined;
  top_p?: number | null | undefined;
  top_k?: number | null | undefined;
  min_p?: number | null | undefined;
  repetition_penalty?: number | null | undefined;
  repeat_penalty?: number | null | undefined;
  presence_penalty?: number | null | undefined;
  frequency_penalty?: number | null | undefined;
  logit_bias?: Record<string, number> | null | undefined;
  seed?: number | bigint | null | undefined;
  stop?: string | readonly string[] | null | undefined;
}

/** `logprobs`: 0 the sampled token's, n the n likeliest too; undefined: none. */
export function samplingOf(
  body: SamplingFields,
  logprobs: number | undefined,
): Partial<SamplingRequest> {
  // With no probability mass left the likeliest token remains; to a worker 0 would mean "off".
  const onlyLikeliest = body.top_p === 0;
  return {
    temperature: body.temperature ?? undefined,
    topP: onlyLikeliest ? 1 : (body.top_p ?? undefined),
    topK: onlyLikeliest ? 1 : topKOf(body.top_k),
    minP: body.min_p ?? undefined,
    repetitionPenalty: repetitionPenaltyOf(body),
    presencePenalty: body.presence_penalty ?? undefined,
    frequencyPenalty: body.frequency_penalty ?? undefined,
    logitBias: biasOf(body.logit_bias),
    seed: body.seed ?? undefined,
    stop: typeof body.stop === "string" ? [body.stop] : body.stop?.slice(),
    logprobs,
  };
}

/** Under either of its names. Throws 400 where they differ. */
function repetitionPenaltyOf(body: SamplingFields): number | undefined {
  const { repetition_penalty: own, repeat_penalty: other } = body;
  if (own != null && other != null && own !== other)
    throw conflict(
      "repeat_penalty",
      "repeat_penalty and repetition_penalty differ; send one of them.",
    );
  return own ?? other ?? undefined;
}

/** vLLM's −1 means "off", as 0 does. */
function topKOf(topK: number | null | undefined): number | undefined {
  return topK == null ? undefined : Math.max(0, topK);
}

function biasOf(bias: Record<string, number> | null | undefined): [number, number][] | undefined {
  return bias == null ? undefined : Object.entries(bias).map(([id, by]) => [Number(id), by]);
}

/** Another choice of the same request draws differently, and the same again for the same seed. */
export function withSeedOffset(
  sampling: Partial<SamplingRequest>,
  offset: number,
): Partial<SamplingRequest> {
  const { seed } = sampling;
  return seed === undefined ? sampling : { ...sampling, seed: BigInt(seed) + BigInt(offset) };
}
