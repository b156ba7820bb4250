/** POST /v1/chat/completions: body, answer, chunks. Shapes as in OpenAI's API. */
import { z } from "zod";
import * as fields from "./fields.js";
import * as limits from "./limits.js";
import { structuredOutput } from "./structured-output.js";
import { chatCalls, chatTooling } from "./tools.js";

const TextPart = z.object({
  type: z.literal("text", { error: fields.notSupported("A content part other than text") }),
  text: fields.text,
});

const AssistantPart = z.discriminatedUnion(
  "type",
  [TextPart, z.object({ type: z.literal("refusal"), refusal: fields.text })],
  { error: fields.notSupported("A content part other than text") },
);

function content<T extends z.ZodType>(part: T) {
  return z.union([fields.text, z.array(part).min(1).max(limits.contentPartsMax)], {
    error: "must be a string or a list of text parts",
  });
}

const name = fields.identifier.nullish();

function wrongRole({ code }: { code?: string }): string | undefined {
  if (code === "invalid_type") return undefined;
  return "must be system, developer, user, assistant or tool";
}

/** Who calls something, or has thought, need not say anything. */
const AssistantMessage = z
  .object({
    role: z.literal("assistant"),
    content: content(AssistantPart).nullish(),
    name,
    refusal: fields.absent("A refusal beside the content"),
    audio: fields.absent("Audio"),
    annotations: fields.sentBack,
    ...chatCalls,
  })
  .superRefine((message, context) => {
    const { content, tool_calls, function_call, reasoning_content } = message;
    if (content != null || (tool_calls ?? []).length > 0) return;
    if (function_call != null || reasoning_content != null) return;
    context.addIssue({
      code: "custom",
      path: ["content"],
      message: "must be a string or a list of text parts, or beside calls",
    });
  });

export const ChatMessage = z.discriminatedUnion(
  "role",
  [
    z.object({ role: z.literal("system"), content: content(TextPart), name }),
    z.object({ role: z.literal("developer"), content: content(TextPart), name }),
    z.object({ role: z.literal("user"), content: content(TextPart), name }),
    AssistantMessage,
    z.object({
      role: z.literal("tool"),
      content: content(TextPart),
      tool_call_id: fields.identifier.min(1),
      name,
    }),
    z.object({ role: z.literal("function"), content: content(TextPart), name: fields.identifier }),
  ],
  { error: wrongRole },
);
export type ChatMessage = z.infer<typeof ChatMessage>;

export const StreamOptions = z
  .object({ include_usage: fields.flag, include_obfuscation: fields.includeObfuscation })
  .nullish();

export const ChatBody = z.object({
  ...fields.sampling,
  ...fields.tokenLimits,
  ...fields.hints,
  ...chatTooling,
  ...fields.unserved,
  ...structuredOutput,
  messages: z.array(ChatMessage).min(1).max(limits.messagesMax),
  model: fields.model,
  n: z.int().min(1).max(limits.choicesPerPromptMax).nullish(),
  logprobs: fields.flag,
  top_logprobs: z.int().min(0).max(limits.topLogprobsMax).nullish(),
  stream: fields.flag,
  stream_options: StreamOptions,
  chat_template_kwargs: fields.chatTemplateKwargs,
  metadata: fields.hint(),
  store: fields.hint(false),
  reasoning_effort: fields.reasoningEffort,
  reasoning: fields.reasoning,
  thinking_token_budget: fields.thinkingTokenBudget,
  verbosity: fields.hint("medium"),
  prediction: fields.hint(),
});
export type ChatBody = z.infer<typeof ChatBody>;

export const CompletionUsage = z.strictObject({
  prompt_tokens: z.int(),
  completion_tokens: z.int(),
  total_tokens: z.int(),
  prompt_tokens_details: z.strictObject({ cached_tokens: z.int() }),
  completion_tokens_details: fields.outputTokensDetails,
});
export type CompletionUsage = z.infer<typeof CompletionUsage>;

const Likely = z.strictObject({
  token: z.string(),
  bytes: z.array(z.int()),
  logprob: z.number(),
});

export const ChatLogprobs = z.strictObject({
  content: z.array(z.strictObject({ ...Likely.shape, top_logprobs: z.array(Likely) })),
  refusal: z.null(),
});
export type ChatLogprobs = z.infer<typeof ChatLogprobs>;

/** The last for who offers `functions`. */
export const ChatFinishReason = z.enum(["stop", "length", "tool_calls", "function_call"]);
export type ChatFinishReason = z.infer<typeof ChatFinishReason>;

/** The stop string that ended it, if one did. An extension that vLLM has. */
export const stopReason = z.string().optional();

const FunctionText = z.strictObject({ name: z.string(), arguments: z.string() });

/** A call that the model makes. */
export const ChatCall = z.discriminatedUnion("type", [
  z.strictObject({ id: z.string(), type: z.literal("function"), function: FunctionText }),
  z.strictObject({
    id: z.string(),
    type: z.literal("custom"),
    custom: z.strictObject({ name: z.string(), input: z.string() }),
  }),
]);
export type ChatCall = z.infer<typeof ChatCall>;

/** The first of a call says which it is, those after it go on with its text. */
const CallDelta = z.strictObject({
  index: z.int(),
  id: z.string().optional(),
  type: z.enum(["function", "custom"]).optional(),
  function: FunctionText.partial().optional(),
  custom: z.strictObject({ name: z.string().optional(), input: z.string().optional() }).optional(),
});

export const ChatCompletion = z.strictObject({
  id: z.string(),
  object: z.literal("chat.completion"),
  /** Unix seconds. */
  created: z.int(),
  model: z.string(),
  choices: z.array(
    z.strictObject({
      index: z.int(),
      message: z.strictObject({
        role: z.literal("assistant"),
        /** Null where there is nothing but calls or reasoning. */
        content: z.string().nullable(),
        refusal: z.null(),
        /** What the model thought. An extension that many servers have. */
        reasoning_content: z.string().optional(),
        tool_calls: z.array(ChatCall).optional(),
        /** For who offers `functions`. */
        function_call: FunctionText.optional(),
      }),
      logprobs: ChatLogprobs.nullable(),
      finish_reason: ChatFinishReason,
      stop_reason: stopReason,
    }),
  ),
  usage: CompletionUsage,
});
export type ChatCompletion = z.infer<typeof ChatCompletion>;

export const ChatChunk = z.strictObject({
  id: z.string(),
  object: z.literal("chat.completion.chunk"),
  created: z.int(),
  model: z.string(),
  choices: z.array(
    z.strictObject({
      index: z.int(),
      delta: z.strictObject({
        role: z.literal("assistant").optional(),
        content: z.string().optional(),
        reasoning_content: z.string().optional(),
        tool_calls: z.array(CallDelta).optional(),
        function_call: FunctionText.partial().optional(),
      }),
      logprobs: ChatLogprobs.nullable(),
      finish_reason: ChatFinishReason.nullable(),
      stop_reason: stopReason,
    }),
  ),
  /** Only if `stream_options.include_usage`: null until the last chunk, which has no choices. */
  usage: CompletionUsage.nullable().optional(),
});
export type ChatChunk = z.infer<typeof ChatChunk>;
