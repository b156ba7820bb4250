/** From a validated body to what the engine takes: every default resolved, every name translated. */
import { createHash, randomInt } from "node:crypto";
import type { Engine, Response, SamplingRequest, Submission } from "../../engine/api.js";
import { ServingError } from "../../errors.js";
import type { PrepareInput } from "../../worker/messages.js";
import type { Identity } from "../access/keys.js";
import type { BodyLease } from "../bodies/budget.js";
import type { Envelope } from "../http/request-headers.js";

/** Who asks, and how; `lease`: what the body holds until it is a prompt. */
export type Caller = Identity & Envelope & { lease?: BodyLease | undefined };

/** The sampling fields of any body. */
export interface SamplingFields {
  temperature?: number | null | undefined;
  top_p?: number | null | undefined;
  top_k?: number | null | undefined;
  min_p?: number | null | undefined;
  repetition_penalty?: number | null | undefined;
  presence_penalty?: number | null | undefined;
  frequency_penalty?: number | null | undefined;
  logit_bias?: Record<string, number> | null | undefined;
  seed?: number | bigint | null | undefined;
  stop?: string | readonly string[] | null | undefined;
}

/** Of seeds that nobody has asked for. */
const randomSeeds = 2 ** 32;

/** `logprobs`: −1 none, 0 the sampled token's, n the n likeliest too. */
export function samplingOf(body: SamplingFields, logprobs: number): SamplingRequest {
  // With no probability mass left the likeliest token remains; to a worker 0 would mean "off".
  const onlyLikeliest = body.top_p === 0;
  return {
    temperature: body.temperature ?? undefined,
    topP: onlyLikeliest ? 1 : (body.top_p ?? undefined),
    topK: onlyLikeliest ? 1 : topKOf(body.top_k),
    minP: body.min_p ?? undefined,
    repetitionPenalty: body.repetition_penalty ?? undefined,
    presencePenalty: body.presence_penalty ?? 0,
    frequencyPenalty: body.frequency_penalty ?? 0,
    logitBias: Object.entries(body.logit_bias ?? {}).map(([token, bias]) => [Number(token), bias]),
    seed: body.seed ?? randomInt(randomSeeds),
    stop: typeof body.stop === "string" ? [body.stop] : [...(body.stop ?? [])],
    logprobs,
  };
}

/** vLLM's −1 means "off", as 0 does. */
function topKOf(topK: number | null | undefined): number | undefined {
  return topK == null ? undefined : Math.max(0, topK);
}

/** Another choice of the same request draws differently, and the same again for the same seed. */
export function withSeedOffset(sampling: SamplingRequest, offset: number): SamplingRequest {
  return { ...sampling, seed: BigInt(sampling.seed) + BigInt(offset) };
}

/** The text of a message: parts belong together without anything between them. */
export function textOf(content: string | readonly object[]): string {
  if (typeof content === "string") return content;
  return content
    .map((part) => {
      const { text, refusal } = part as { text?: string; refusal?: string };
      return text ?? refusal ?? "";
    })
    .join("");
}

interface RoleAndContent {
  role: string;
  content: string | readonly object[];
  name?: string | null | undefined;
}

/** Templates know no developer: the role is OpenAI's newer word for system. */
export function chatInput(
  messages: readonly RoleAndContent[],
  templateArgs: Record<string, unknown> | null | undefined,
): PrepareInput {
  return {
    kind: "chat",
    messages: messages.map(({ role, content, name }) => ({
      role: role === "developer" ? "system" : role,
      content: textOf(content),
      ...(name != null && { name }),
    })),
    ...(templateArgs != null && { templateArgs }),
  };
}

/** Tokens to generate at most, under whichever of its names. Throws 400 where two of them differ. */
export function tokenLimitOf(body: {
  max_tokens?: number | null | undefined;
  max_completion_tokens?: number | null | undefined;
  max_output_tokens?: number | null | undefined;
}): number | undefined {
  const { max_tokens, max_completion_tokens, max_output_tokens } = body;
  const given = Object.entries({ max_tokens, max_completion_tokens, max_output_tokens });
  const [first, ...others] = given.filter(([, limit]) => limit != null);
  const other = others.find(([, limit]) => limit !== first![1]);
  if (other !== undefined)
    throw conflict(first![0], `${first![0]} and ${other[0]} differ; send one of them.`);
  return first?.[1] ?? undefined;
}

/** What is wrong only beside another field. */
export function conflict(param: string, message: string): ServingError {
  return new ServingError(message, { code: "invalid_value", status: 400, param });
}

/** What of a submission comes from the caller. */
export function callerFields(caller: Caller) {
  const { owner, clientId, priority, deadlineMs } = caller;
  return { owner, clientId, priority, deadlineMs };
}

/**
 * The key as the engine compares it. Transport (streaming or not, ids that only correlate) is no part
 * of the fingerprint: a retry may ask for the same answer in another form.
 */
export function idempotencyOf(
  route: string,
  key: string | undefined,
  body: object,
): { key: string; fingerprint: string } | undefined {
  if (key === undefined) return undefined;
  const hash = createHash("sha256").update(route).update(canonical(body));
  return { key, fingerprint: hash.digest("hex") };
}

const transportFields = new Set([
  "stream",
  "stream_options",
  "client_metadata",
  "type",
  "event_id",
  "stream_id",
]);

function canonical(body: object): string {
  const fields = Object.entries(body).filter(
    ([name, value]) =>
      value != null &&
      !transportFields.has(name) &&
      !name.startsWith("mlx_serving:") &&
      // Nobody has to say that an answer is wanted.
      !(name === "generate" && value === true),
  );
  return JSON.stringify(Object.fromEntries(fields), (_key, value: unknown) => {
    if (typeof value === "bigint") return String(value);
    return typeof value === "object" && value !== null && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1)))
      : value;
  });
}

/** Submits all or none: when one is refused, the others are given up or cancelled. */
export async function submitAll(
  engine: Engine,
  submissions: readonly Submission[],
  signal: AbortSignal,
): Promise<Response[]> {
  const siblings = new AbortController();
  const either = AbortSignal.any([signal, siblings.signal]);
  const outcomes = await Promise.allSettled(
    submissions.map((submission) =>
      engine.submit(submission, either).catch((error: unknown) => {
        siblings.abort();
        throw error;
      }),
    ),
  );
  const refusal = firstRefusal(outcomes);
  if (refusal === undefined)
    return outcomes.map((outcome) => (outcome as PromiseFulfilledResult<Response>).value);
  for (const outcome of outcomes) if (outcome.status === "fulfilled") outcome.value.cancel();
  throw refusal;
}

/** The first that is not merely the echo of another's. */
function firstRefusal(outcomes: readonly PromiseSettledResult<Response>[]): unknown {
  const reasons = outcomes.flatMap((outcome): unknown[] =>
    outcome.status === "rejected" ? [outcome.reason] : [],
  );
  const isOwn = (reason: unknown) =>
    !(reason instanceof ServingError && reason.code === "cancelled");
  return reasons.find(isOwn) ?? reasons[0];
}
