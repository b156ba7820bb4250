/** Ollama's API: chats, generations, models, its version and its errors. */
import { z } from "zod";
import * as fields from "./fields.js";
import * as limits from "./limits.js";
import { ChatTool } from "./tools.js";

/** A list that has nothing in it, null, or absent. */
function none(what: string) {
  return z
    .array(z.unknown())
    .max(limits.contentPartsMax)
    .refine((list) => list.length === 0, { error: fields.notSupported(what) })
    .meta({ maxItems: 0 })
    .nullish();
}

const images = none("An image");

/** Tokens to generate at most. 0 and less: what the context leaves. */
const numPredict = z
  .int()
  .min(-2)
  .max(limits.outputTokensMax)
  .transform((count) => (count <= 0 ? null : count))
  .nullish();

const { temperature, top_p, top_k, min_p, stop, repeat_penalty } = fields.sampling;
/** Within 2^53: exact integers beyond are read at the top of a body alone. */
const seed = z.int().nullish();
const { presence_penalty, frequency_penalty } = fields.sampling;

/** How the next token is drawn; what is said of a runner, which is not Ollama's here, is a hint. */
const options = z
  .object({
    ...{ temperature, top_p, top_k, min_p, seed, stop, repeat_penalty },
    ...{ presence_penalty, frequency_penalty },
    num_predict: numPredict,
    typical_p: fields.only([1]),
    mirostat: fields.only([0]),
    num_ctx: fields.hint(),
    num_keep: fields.hint(),
    num_batch: fields.hint(),
    num_gpu: fields.hint(),
    main_gpu: fields.hint(),
    num_thread: fields.hint(),
    use_mmap: fields.hint(),
    repeat_last_n: fields.hint(),
  })
  .nullish();

/** Levels are hints: the model thinks as its template has it. */
const think = z
  .union([z.boolean(), z.enum(["low", "medium", "high", "max"])], {
    error: "must be true, false, low, medium, high or max",
  })
  .transform((value) => (typeof value === "string" ? undefined : value))
  .nullish();

const format = z
  .union([z.enum(["", "json"]), z.record(z.string(), z.unknown())], {
    error: "must be json, or a JSON schema as an object",
  })
  .nullish();

/** Of both routes. */
const request = {
  model: fields.model,
  options,
  format,
  think,
  /** Default: true. */
  stream: fields.flag,
  keep_alive: fields.hint(),
  truncate: fields.hint(),
  shift: fields.hint(),
  logprobs: fields.only([false], "A log probability in this API"),
  top_logprobs: fields.only([0], "A log probability in this API"),
};

const { name } = ChatTool.options[0].shape.function.shape;

const CallInHistory = z.object({
  id: fields.identifier.nullish(),
  type: fields.sentBack,
  function: z.object({
    name,
    arguments: z.record(z.string(), z.unknown()).nullish(),
    index: fields.sentBack,
  }),
});

export const OllamaChatMessage = z.discriminatedUnion(
  "role",
  [
    z.object({ role: z.literal("system"), content: fields.text, images }),
    z.object({ role: z.literal("user"), content: fields.text, images }),
    z.object({
      role: z.literal("assistant"),
      content: fields.text.nullish(),
      thinking: fields.text.nullish(),
      tool_calls: z.array(CallInHistory).max(limits.callsPerMessageMax).nullish(),
      images,
    }),
    z.object({
      role: z.literal("tool"),
      content: fields.text,
      /** Which call it answers; neither: the first that has no answer. */
      tool_name: fields.identifier.nullish(),
      tool_call_id: fields.identifier.nullish(),
      images,
    }),
  ],
  {
    error: ({ code }: { code?: string }) =>
      code === "invalid_type" ? undefined : "must be system, user, assistant or tool",
  },
);
export type OllamaChatMessage = z.infer<typeof OllamaChatMessage>;

export const OllamaChatBody = z.object({
  ...request,
  /** None: asks whether the model is there. */
  messages: z.array(OllamaChatMessage).max(limits.messagesMax).nullish(),
  tools: z.array(ChatTool.options[0]).max(limits.toolsMax).nullish(),
});
export type OllamaChatBody = z.infer<typeof OllamaChatBody>;

export const OllamaGenerateBody = z.object({
  ...request,
  /** None: asks whether the model is there. */
  prompt: fields.text.nullish(),
  system: fields.text.nullish(),
  /** The prompt as it is, without a template. */
  raw: fields.flag,
  images,
  context: none("The context of an earlier answer"),
  template: fields.only([""], "A request's own chat template"),
  suffix: fields.only([""]),
});
export type OllamaGenerateBody = z.infer<typeof OllamaGenerateBody>;

const embedding = {
  model: fields.model,
  /** Nothing of them changes a vector. */
  options: fields.hint(),
  keep_alive: fields.hint(),
};

export const OllamaEmbedBody = z.object({
  ...embedding,
  /** None: asks whether the model is there. */
  input: z
    .union([fields.text, z.array(fields.text.min(1)).max(limits.embeddingInputsMax)], {
      error: `must be a text, or a list of at most ${limits.embeddingInputsMax} texts, none of them empty`,
    })
    .nullish(),
  /** False is what happens: a text that is too long is refused. */
  truncate: fields.hint(false),
  /** The first so many numbers, made as long as before. */
  dimensions: z.int().min(1).max(limits.dimensionsMax).nullish(),
});
export type OllamaEmbedBody = z.infer<typeof OllamaEmbedBody>;

export const OllamaEmbeddingsBody = z.object({
  ...embedding,
  /** None: asks whether the model is there. */
  prompt: fields.text.nullish(),
});
export type OllamaEmbeddingsBody = z.infer<typeof OllamaEmbeddingsBody>;

const nanoseconds = z.int().min(0).optional();

export const OllamaEmbed = z.strictObject({
  model: z.string(),
  /** Of length 1, in the order of the texts. */
  embeddings: z.array(z.array(z.number())),
  total_duration: nanoseconds,
  load_duration: nanoseconds,
  prompt_eval_count: z.int(),
});
export type OllamaEmbed = z.infer<typeof OllamaEmbed>;

export const OllamaEmbeddings = z.strictObject({ embedding: z.array(z.number()) });
export type OllamaEmbeddings = z.infer<typeof OllamaEmbeddings>;

/** The rest stands in the last line of a stream, and in an answer as a whole. */
const ending = {
  model: z.string(),
  /** RFC 3339. */
  created_at: z.string(),
  done: z.boolean(),
  /** `load`: nothing was asked. */
  done_reason: z.enum(["stop", "length", "load"]).optional(),
  total_duration: nanoseconds,
  /** Until a worker has taken it up. */
  load_duration: nanoseconds,
  prompt_eval_count: z.int().optional(),
  prompt_eval_duration: nanoseconds,
  eval_count: z.int().optional(),
  eval_duration: nanoseconds,
};

/** A call that the model makes, always whole. */
export const OllamaCall = z.strictObject({
  id: z.string(),
  function: z.strictObject({
    index: z.int(),
    name: z.string(),
    arguments: z.record(z.string(), z.unknown()),
  }),
});
export type OllamaCall = z.infer<typeof OllamaCall>;

export const OllamaChat = z.strictObject({
  ...ending,
  message: z.strictObject({
    role: z.literal("assistant"),
    content: z.string(),
    thinking: z.string().optional(),
    tool_calls: z.array(OllamaCall).optional(),
  }),
});
export type OllamaChat = z.infer<typeof OllamaChat>;

export const OllamaGeneration = z.strictObject({
  ...ending,
  response: z.string(),
  thinking: z.string().optional(),
});
export type OllamaGeneration = z.infer<typeof OllamaGeneration>;

/** Body of every error, and the last line of a stream that failed. */
export const OllamaError = z.strictObject({ error: z.string() });
export type OllamaError = z.infer<typeof OllamaError>;

/** What nobody here knows of a model is an empty text. */
const details = z.strictObject({
  parent_model: z.string(),
  format: z.string(),
  family: z.string(),
  families: z.array(z.string()),
  parameter_size: z.string(),
  quantization_level: z.string(),
});

const listed = {
  name: z.string(),
  model: z.string(),
  /** Bytes of its weights; 0 until a worker has loaded it. */
  size: z.int(),
  /** SHA-256 of its name, not of its weights. */
  digest: z.string(),
  details,
};

export const OllamaTags = z.strictObject({
  models: z.array(z.strictObject({ ...listed, modified_at: z.string() })),
});
export type OllamaTags = z.infer<typeof OllamaTags>;

/** Those that a worker has loaded. */
export const OllamaRunning = z.strictObject({
  models: z.array(
    z.strictObject({
      ...listed,
      /** So late that it says: never. */
      expires_at: z.string(),
      /** Bytes of its weights on a GPU. */
      size_vram: z.int(),
      context_length: z.int(),
    }),
  ),
});
export type OllamaRunning = z.infer<typeof OllamaRunning>;

const modelName = z.string().min(1).max(limits.modelIdCharsMax).nullish();

/** One of both names it. */
export const OllamaShowBody = z
  .object({
    model: modelName,
    name: modelName,
    verbose: fields.hint(false),
  })
  .refine(({ model, name }) => (model ?? name) != null, {
    error: "must name a model",
    path: ["model"],
  });
export type OllamaShowBody = z.infer<typeof OllamaShowBody>;

export const OllamaModel = z.strictObject({
  modelfile: z.string(),
  parameters: z.string(),
  template: z.string(),
  details,
  /** `mlx.context_length` and `mlx.embedding_length` once a worker has loaded it. */
  model_info: z.record(z.string(), z.union([z.string(), z.int()])),
  capabilities: z.array(z.enum(["completion", "tools", "embedding"])),
  modified_at: z.string(),
});
export type OllamaModel = z.infer<typeof OllamaModel>;

/** Of Ollama whose shapes these are: its clients compare it. */
export const ollamaVersion = "0.13.0";

export const OllamaVersion = z.strictObject({
  version: z.string(),
  /** This server's own. */
  mlx_serving: z.string(),
});
export type OllamaVersion = z.infer<typeof OllamaVersion>;
