/** Anthropic's Messages API: messages, their count of tokens, models and errors. */
import { z } from "zod";
import * as fields from "./fields.js";
import * as limits from "./limits.js";
import { ModelList, ModelObject } from "./models.js";
import { OutputFormat } from "./structured-output.js";
import { FunctionTool } from "./tools.js";

/** Prefixes are kept for everybody, marked or not: whoever marks one has what he asks for. */
const cacheControl = z
  .unknown()
  .optional()
  .meta({ description: "Taken, and needed for nothing: every prefix is cached." });

const Text = z.object({
  type: z.literal("text"),
  text: fields.text,
  cache_control: cacheControl,
  citations: fields.hint(),
});

/** What is said of a type, or a role, that isn't one of these. */
function oneOf(known: string) {
  return ({ code }: { code?: string }): string | undefined =>
    code === "invalid_type" ? undefined : `must be ${known}`;
}

/** Whatever else may stand in a message would have to be read, and no model here can. */
function onlyKnown(known: string) {
  return ({ code, input }: { code?: string; input?: unknown }): string | undefined => {
    if (code === "invalid_type") return undefined;
    const { type } = input as { type?: unknown };
    return typeof type === "string"
      ? fields.notSupported("A block of this type")
      : `must be ${known}`;
  };
}

const unread = (what: string) => z.object({ type: z.literal(what) }).transform(() => undefined);

const ToolResult = z.object({
  type: z.literal("tool_result"),
  tool_use_id: fields.identifier.min(1),
  content: z
    .union([
      fields.text,
      z
        .array(z.discriminatedUnion("type", [Text], { error: onlyKnown("a text block") }))
        .max(limits.contentPartsMax),
    ])
    .nullish(),
  is_error: fields.flag,
  cache_control: cacheControl,
});

const UserBlock = z.discriminatedUnion("type", [Text, ToolResult], {
  error: onlyKnown("a text or tool_result block"),
});
export type AnthropicUserBlock = z.infer<typeof UserBlock>;

/** The same as in every API. */
const { name: toolName, description } = FunctionTool.shape;

const AssistantBlock = z.discriminatedUnion(
  "type",
  [
    Text,
    z.object({
      type: z.literal("tool_use"),
      id: fields.identifier.min(1),
      name: toolName,
      input: z.record(z.string(), z.unknown()),
      cache_control: cacheControl,
      caller: fields.sentBack,
    }),
    z.object({
      type: z.literal("thinking"),
      thinking: fields.text,
      signature: fields.sentBack,
    }),
    /** What somebody else's server has encrypted. */
    z.object({ type: z.literal("redacted_thinking"), data: fields.sentBack }),
    // Of tools that a host runs, in a history that began elsewhere.
    unread("server_tool_use"),
    unread("web_search_tool_result"),
    unread("web_fetch_tool_result"),
    unread("code_execution_tool_result"),
  ],
  { error: onlyKnown("a text, tool_use, thinking or redacted_thinking block") },
);
export type AnthropicAssistantBlock = NonNullable<z.infer<typeof AssistantBlock>>;

function content<T extends z.ZodType>(block: T) {
  return z.union([fields.text, z.array(block).max(limits.contentPartsMax)], {
    error: "must be a string or a list of blocks",
  });
}

const system = content(Text);

export const AnthropicMessageParam = z.discriminatedUnion(
  "role",
  [
    z.object({ role: z.literal("user"), content: content(UserBlock) }),
    z.object({ role: z.literal("assistant"), content: content(AssistantBlock) }),
    /** Between turns. */
    z.object({ role: z.literal("system"), content: system }),
  ],
  {
    error: oneOf("user or assistant, or system between them"),
  },
);
export type AnthropicMessageParam = z.infer<typeof AnthropicMessageParam>;

const OwnTool = z.object({
  type: z.literal("custom").nullish(),
  name: toolName,
  description,
  /** A JSON schema of the arguments. */
  input_schema: z.record(z.string(), z.unknown()),
  cache_control: cacheControl,
  /** A schema that can't be kept to as a whole is refused. */
  strict: fields.flag,
  input_examples: fields.hint(),
  /** Arguments always stream as they are made. */
  eager_input_streaming: fields.flag,
  defer_loading: fields.hint(false),
  allowed_callers: fields.hint(),
});

/** With a type that says it all: run by a host, or described by one. Neither is offered to the model. */
const HostedTool = z
  .object({ type: fields.identifier.min(1) })
  .refine(({ type }) => type !== "custom", { error: "is no tool of this kind" })
  .transform(() => undefined)
  .meta({ description: "Any other tool: it is ignored, unless tool_choice forces it." });

const parallel = { disable_parallel_tool_use: fields.flag };

const ToolChoice = z.discriminatedUnion(
  "type",
  [
    z.object({ type: z.literal("auto"), ...parallel }),
    z.object({ type: z.literal("any"), ...parallel }),
    z.object({ type: z.literal("tool"), name: toolName, ...parallel }),
    z.object({ type: z.literal("none") }),
  ],
  {
    error: oneOf("auto, any, tool or none"),
  },
);

const Thinking = z.discriminatedUnion(
  "type",
  [
    z.object({
      type: z.literal("enabled"),
      budget_tokens: z.int().min(1).max(limits.outputTokensMax),
      display: fields.hint("summarized"),
    }),
    z.object({ type: z.literal("disabled") }),
    z.object({ type: z.literal("adaptive"), display: fields.hint("summarized") }),
  ],
  {
    error: oneOf("enabled, disabled or adaptive"),
  },
);

/** What makes the prompt, and what both routes take beside it. */
const prompt = {
  ...fields.unserved,
  ...fields.structuredElsewhere,
  model: fields.model,
  messages: z.array(AnthropicMessageParam).min(1).max(limits.messagesMax),
  system: system.nullish(),
  tools: z
    .array(z.union([OwnTool, HostedTool]))
    .max(limits.toolsMax)
    .nullish(),
  tool_choice: ToolChoice.nullish(),
  thinking: Thinking.nullish(),
  cache_control: cacheControl,
  output_config: z
    .object({
      effort: fields.hint("high"),
      format: OutputFormat.nullish(),
      task_budget: fields.hint(),
    })
    .nullish(),
  /** As it was called before. */
  output_format: OutputFormat.nullish(),
  chat_template_kwargs: fields.chatTemplateKwargs,
  mcp_servers: fields.hint(),
  context_management: fields.hint(),
  container: fields.hint(),
  service_tier: fields.hint("auto", "standard_only"),
  metadata: fields.hint(),
  betas: fields.hint(),
  /** A conversation that the server holds: whoever goes on with one sends nothing of what was said before. */
  thread: fields.absent(),
};

const { stop: _stop, ...sampling } = fields.sampling;

export const AnthropicBody = z.object({
  ...sampling,
  ...prompt,
  /** Tokens to generate at most; counts from 1. */
  max_tokens: z.int().min(1).max(limits.outputTokensMax),
  stop_sequences: z
    .array(z.string().min(1).max(limits.stopStringCharsMax))
    .max(limits.stopStringsMax)
    .nullish(),
  stream: fields.flag,
});
export type AnthropicBody = z.infer<typeof AnthropicBody>;

export const AnthropicCountBody = z.object({ ...prompt });
export type AnthropicCountBody = z.infer<typeof AnthropicCountBody>;

export const AnthropicTokenCount = z.strictObject({ input_tokens: z.int() });
export type AnthropicTokenCount = z.infer<typeof AnthropicTokenCount>;

/** All of the prompt is `input_tokens` and `cache_read_input_tokens` together. */
export const AnthropicUsage = z.strictObject({
  input_tokens: z.int(),
  cache_creation_input_tokens: z.int(),
  cache_read_input_tokens: z.int(),
  output_tokens: z.int(),
});
export type AnthropicUsage = z.infer<typeof AnthropicUsage>;

export const AnthropicBlock = z.discriminatedUnion("type", [
  /** No `citations: null`, as its type has it: Anthropic sends none where there are none, and clients refuse it. */
  z.strictObject({ type: z.literal("text"), text: z.string() }),
  /** `signature`: opaque; nothing here reads it when it is sent back. */
  z.strictObject({ type: z.literal("thinking"), thinking: z.string(), signature: z.string() }),
  z.strictObject({
    type: z.literal("tool_use"),
    id: z.string(),
    name: z.string(),
    input: z.record(z.string(), z.unknown()),
  }),
]);
export type AnthropicBlock = z.infer<typeof AnthropicBlock>;

export const AnthropicStopReason = z.enum(["end_turn", "max_tokens", "stop_sequence", "tool_use"]);
export type AnthropicStopReason = z.infer<typeof AnthropicStopReason>;

const stop = {
  stop_reason: AnthropicStopReason.nullable(),
  /** The one that was met, where it is known. */
  stop_sequence: z.string().nullable(),
};

export const AnthropicMessage = z.strictObject({
  id: z.string(),
  type: z.literal("message"),
  role: z.literal("assistant"),
  model: z.string(),
  content: z.array(AnthropicBlock),
  ...stop,
  usage: AnthropicUsage,
});
export type AnthropicMessage = z.infer<typeof AnthropicMessage>;

export const AnthropicErrorType = z.enum([
  "invalid_request_error",
  "authentication_error",
  "permission_error",
  "not_found_error",
  "request_too_large",
  "rate_limit_error",
  "timeout_error",
  "api_error",
  "overloaded_error",
]);
export type AnthropicErrorType = z.infer<typeof AnthropicErrorType>;

/** Body of every error, and the last event of a stream that failed. `param` and `code` are ours. */
export const AnthropicError = z.strictObject({
  type: z.literal("error"),
  error: z.strictObject({
    type: AnthropicErrorType,
    message: z.string(),
    param: z.string().nullable(),
    code: z.string().nullable(),
    /** By which clients know what they can ask for in another way. */
    details: z
      .strictObject({
        error_code: z.literal("thread_unsupported_request"),
        unsupported: z.array(z.string()),
      })
      .optional(),
  }),
  request_id: z.string(),
});
export type AnthropicError = z.infer<typeof AnthropicError>;

const index = z.int().min(0);

export const AnthropicStreamEvent = z.discriminatedUnion("type", [
  z.strictObject({ type: z.literal("message_start"), message: AnthropicMessage }),
  z.strictObject({
    type: z.literal("content_block_start"),
    index,
    content_block: AnthropicBlock,
  }),
  z.strictObject({
    type: z.literal("content_block_delta"),
    index,
    delta: z.discriminatedUnion("type", [
      z.strictObject({ type: z.literal("text_delta"), text: z.string() }),
      z.strictObject({ type: z.literal("thinking_delta"), thinking: z.string() }),
      z.strictObject({ type: z.literal("signature_delta"), signature: z.string() }),
      z.strictObject({ type: z.literal("input_json_delta"), partial_json: z.string() }),
    ]),
  }),
  z.strictObject({ type: z.literal("content_block_stop"), index }),
  z.strictObject({
    type: z.literal("message_delta"),
    delta: z.strictObject(stop),
    usage: AnthropicUsage,
  }),
  z.strictObject({ type: z.literal("message_stop") }),
  /** While a prefill is silent. */
  z.strictObject({ type: z.literal("ping") }),
  AnthropicError,
]);
export type AnthropicStreamEvent = z.infer<typeof AnthropicStreamEvent>;

export const AnthropicModel = z.strictObject({
  type: z.literal("model"),
  id: z.string(),
  display_name: z.string(),
  /** RFC 3339. */
  created_at: z.string(),
});
export type AnthropicModel = z.infer<typeof AnthropicModel>;

export const AnthropicModelList = z.strictObject({
  data: z.array(AnthropicModel),
  has_more: z.boolean(),
  first_id: z.string().nullable(),
  last_id: z.string().nullable(),
});
export type AnthropicModelList = z.infer<typeof AnthropicModelList>;

/** Which of the two it is, the header `anthropic-version` says. */
export const AnyModelList = z.union([ModelList, AnthropicModelList]);
export const AnyModel = z.union([ModelObject, AnthropicModel]);
