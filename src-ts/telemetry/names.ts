/**
 * Every name that goes to OpenTelemetry. Names of `gen_ai` are those of the semantic conventions in the version below,
 * the last that has them all in one place: they are in development and will change, and then they change here alone.
 */

/** github.com/open-telemetry/semantic-conventions */
export const semconvVersion = "1.41.0";
export const schemaUrl = `https://opentelemetry.io/schemas/${semconvVersion}`;

/** Of the tracer and the meter. */
export const scopeName = "mlx-serving";
export const serviceName = "mlx-serving";
export const providerName = "mlx_serving";

/** Values of `gen_ai.operation.name`. The conventions have no word for reading probabilities off a prompt. */
export const operations = {
  chat: "chat",
  completion: "text_completion",
  embedding: "embeddings",
  score: "score",
} as const;

export const attributes = {
  operationName: "gen_ai.operation.name",
  providerName: "gen_ai.provider.name",
  requestModel: "gen_ai.request.model",
  maxTokens: "gen_ai.request.max_tokens",
  temperature: "gen_ai.request.temperature",
  topP: "gen_ai.request.top_p",
  topK: "gen_ai.request.top_k",
  frequencyPenalty: "gen_ai.request.frequency_penalty",
  presencePenalty: "gen_ai.request.presence_penalty",
  responseId: "gen_ai.response.id",
  responseModel: "gen_ai.response.model",
  finishReasons: "gen_ai.response.finish_reasons",
  inputTokens: "gen_ai.usage.input_tokens",
  outputTokens: "gen_ai.usage.output_tokens",
  cacheReadTokens: "gen_ai.usage.cache_read.input_tokens",
  reasoningTokens: "gen_ai.usage.reasoning.output_tokens",
  tokenType: "gen_ai.token.type",
  errorType: "error.type",
  serverAddress: "server.address",
  serverPort: "server.port",
  requestId: "mlx_serving.request.id",
  priority: "mlx_serving.request.priority",
  attempts: "mlx_serving.request.attempts",
  attempt: "mlx_serving.attempt",
  workerId: "mlx_serving.worker.id",
  lossReason: "mlx_serving.migration.reason",
  cachedTokens: "mlx_serving.prefill.cached_tokens",
  promptTokens: "mlx_serving.prompt_tokens",
} as const;

/** What a request goes through, each a span within its own. */
export const phases = {
  prepare: "prepare",
  store: "store",
  queue: "queue",
  prefill: "prefill",
  decode: "decode",
} as const;

/** Of the request's span. */
export const events = {
  migrated: "mlx_serving.migrated",
  cancelling: "mlx_serving.cancelling",
  interrupted: "mlx_serving.interrupted",
} as const;

const durationBounds = [
  0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92,
];

/** Histograms, with the buckets that the conventions recommend. */
export const metrics = {
  requestDuration: {
    name: "gen_ai.server.request.duration",
    description: "Time from a request's arrival to its end.",
    unit: "s",
    bounds: durationBounds,
  },
  timeToFirstToken: {
    name: "gen_ai.server.time_to_first_token",
    description: "Time from a request's arrival to its first token, of successful responses.",
    unit: "s",
    bounds: [0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10],
  },
  timePerOutputToken: {
    name: "gen_ai.server.time_per_output_token",
    description: "Time per token after the first, of successful responses.",
    unit: "s",
    bounds: [0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5],
  },
  tokenUsage: {
    name: "gen_ai.client.token.usage",
    description: "Tokens of prompts and of answers.",
    unit: "{token}",
    bounds: [
      1, 4, 16, 64, 256, 1024, 4096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304, 16_777_216,
      67_108_864,
    ],
  },
} as const;
