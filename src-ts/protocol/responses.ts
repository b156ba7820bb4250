/** POST /v1/responses: body and response object. Shapes as in OpenAI's API. */
import { z } from "zod";
import * as fields from "./fields.js";
import * as limits from "./limits.js";
import { structuredOutput, TextFormat } from "./structured-output.js";
import { historyItems, RepeatedToolChoice, ResponseTool, responseTooling } from "./tools.js";

const InputPart = z.discriminatedUnion(
  "type",
  [
    z.object({ type: z.literal("input_text"), text: fields.text }),
    z.object({
      type: z.literal("output_text"),
      text: fields.text,
      annotations: fields.sentBack,
      logprobs: fields.sentBack,
    }),
    z.object({ type: z.literal("refusal"), refusal: fields.text }),
  ],
  { error: fields.notSupported("A content part other than text") },
);

/** A message, also one that a response gave as output. */
export const InputMessage = z.object({
  type: z.literal("message").optional(),
  role: z.enum(["system", "developer", "user", "assistant"]),
  content: z.union([fields.text, z.array(InputPart).min(1).max(limits.contentPartsMax)], {
    error: "must be a string or a list of text parts",
  }),
  id: fields.sentBack,
  status: fields.sentBack,
  phase: fields.sentBack,
});
export type InputMessage = z.infer<typeof InputMessage>;

/** A message, a call, its output, or what was thought before. */
export const InputItem = z.discriminatedUnion("type", [InputMessage, ...historyItems], {
  error: fields.notSupported("An input item of this kind"),
});
export type InputItem = z.infer<typeof InputItem>;

/** May be none. */
export const inputItems = z.array(InputItem).max(limits.messagesMax);

export const ResponseInput = z.union([fields.text, inputItems.min(1)], {
  error: "must be a string or a list of items",
});
export type ResponseInput = z.infer<typeof ResponseInput>;

/** The one value of `include` that is served; all others are hints. */
export const includeLogprobs = "message.output_text.logprobs";

/** What HTTP and WebSocket share. */
export const responseFields = {
  ...fields.sampling,
  ...fields.tokenLimits,
  ...fields.hints,
  ...responseTooling,
  functions: fields.tooling.functions,
  function_call: fields.tooling.function_call,
  ...fields.unserved,
  /** Of a stored response or, over WebSocket, of one that its socket remembers: what it read and said comes first. */
  previous_response_id: fields.identifier.min(1).nullish(),
  ...structuredOutput,
  input: ResponseInput,
  instructions: fields.text.nullish(),
  model: fields.model,
  /** Log probabilities are given if this is set or `include` asks for them. */
  top_logprobs: z.int().min(0).max(limits.topLogprobsMax).nullish(),
  include: z
    .array(z.string().transform((value) => (value === includeLogprobs ? value : undefined)))
    .max(limits.includeEntriesMax)
    .nullish(),
  metadata: fields.metadata,
  store: fields.flag,
  text: z.object({ format: TextFormat.nullish(), verbosity: fields.hint("medium") }).nullish(),
  chat_template_kwargs: fields.chatTemplateKwargs,
  truncation: fields.hint("disabled"),
  reasoning: fields.reasoning,
  thinking_token_budget: fields.thinkingTokenBudget,
  max_tool_calls: z.int().min(1).max(limits.toolsMax).nullish(),
  prompt: fields.absent("A stored prompt"),
  context_management: fields.hint(),
};

/** What a WebSocket client sends in `response.create`, less the envelope. */
export const CreateResponseBody = z.object(responseFields);
/** As a client writes it. */
export type CreateResponseBody = z.input<typeof CreateResponseBody>;
/** As the server has read it: of hints only what is repeated is left. */
export type ParsedResponseBody = z.output<typeof CreateResponseBody>;

/** Body of POST /v1/responses. `store` is true unless it is false. */
export const ResponseBody = z.object({
  ...responseFields,
  /** Only what goes on from a response may come without it; `requireInput` sees to it. */
  input: ResponseInput.optional(),
  stream: fields.flag,
  stream_options: z.object({ include_obfuscation: fields.includeObfuscation }).nullish(),
  /** Answered at once; needs `store`. */
  background: fields.flag,
  generate: fields.only([true], "A prefill without an answer over HTTP"),
});
export type ResponseBody = z.infer<typeof ResponseBody>;

/** Query of GET /v1/responses/{id}. */
export const ResponseQuery = z.object({
  stream: z.enum(["true", "false"]).optional(),
  /** -1: from the start. */
  starting_after: z
    .string()
    .regex(/^(-1|[0-9]{1,9})$/, "must be a sequence number, or -1")
    .optional(),
  include_obfuscation: fields.hint("false"),
});
export type ResponseQuery = z.infer<typeof ResponseQuery>;

const Likely = z.strictObject({
  token: z.string(),
  bytes: z.array(z.int()),
  logprob: z.number(),
});
export const OutputLogprob = z.strictObject({ ...Likely.shape, top_logprobs: z.array(Likely) });
export type OutputLogprob = z.infer<typeof OutputLogprob>;

export const OutputText = z.strictObject({
  type: z.literal("output_text"),
  text: z.string(),
  annotations: z.tuple([]),
  logprobs: z.array(OutputLogprob),
});
export type OutputText = z.infer<typeof OutputText>;

export const OutputMessage = z.strictObject({
  id: z.string(),
  type: z.literal("message"),
  role: z.literal("assistant"),
  status: z.enum(["in_progress", "completed", "incomplete"]),
  content: z.array(OutputText),
});
export type OutputMessage = z.infer<typeof OutputMessage>;

export const ReasoningText = z.strictObject({
  type: z.literal("reasoning_text"),
  text: z.string(),
});
export type ReasoningText = z.infer<typeof ReasoningText>;

const itemStatus = z.enum(["in_progress", "completed", "incomplete"]);

/** What the model thought; nobody has summed it up. */
export const ReasoningItem = z.strictObject({
  id: z.string(),
  type: z.literal("reasoning"),
  status: itemStatus,
  summary: z.tuple([]),
  content: z.array(ReasoningText),
});
export type ReasoningItem = z.infer<typeof ReasoningItem>;

const called = {
  id: z.string(),
  status: itemStatus,
  call_id: z.string(),
  name: z.string(),
  /** Of a tool that was offered in one. */
  namespace: z.string().optional(),
};

export const FunctionCall = z.strictObject({
  ...called,
  type: z.literal("function_call"),
  arguments: z.string(),
});
export type FunctionCall = z.infer<typeof FunctionCall>;

export const CustomToolCall = z.strictObject({
  ...called,
  type: z.literal("custom_tool_call"),
  input: z.string(),
});
export type CustomToolCall = z.infer<typeof CustomToolCall>;

export const OutputItem = z.discriminatedUnion("type", [
  OutputMessage,
  ReasoningItem,
  FunctionCall,
  CustomToolCall,
]);
export type OutputItem = z.infer<typeof OutputItem>;

export const ResponseUsage = z.strictObject({
  input_tokens: z.int(),
  input_tokens_details: z.strictObject({
    cached_tokens: z.int(),
    /** Always 0: writing to the cache costs nothing here. */
    cache_write_tokens: z.int(),
  }),
  output_tokens: z.int(),
  output_tokens_details: fields.outputTokensDetails,
  total_tokens: z.int(),
});
export type ResponseUsage = z.infer<typeof ResponseUsage>;

export const ResponseStatus = z.enum([
  "queued",
  "in_progress",
  "completed",
  "incomplete",
  "cancelled",
  "failed",
]);
export type ResponseStatus = z.infer<typeof ResponseStatus>;

export const ResponseObject = z.strictObject({
  id: z.string(),
  object: z.literal("response"),
  /** Unix seconds. */
  created_at: z.int(),
  completed_at: z.int().nullable(),
  status: ResponseStatus,
  error: z.strictObject({ code: z.string(), message: z.string() }).nullable(),
  frequency_penalty: z.number(),
  incomplete_details: z
    .strictObject({ reason: z.enum(["max_output_tokens", "cancelled"]) })
    .nullable(),
  model: z.string(),
  output: z.array(OutputItem),
  /** Null until the end. */
  usage: ResponseUsage.nullable(),
  background: z.boolean(),
  instructions: z.string().nullable(),
  max_output_tokens: z.int().nullable(),
  max_tool_calls: z.int().nullable(),
  metadata: z.record(z.string(), z.string()),
  parallel_tool_calls: z.boolean(),
  presence_penalty: z.number(),
  previous_response_id: z.string().nullable(),
  prompt_cache_key: z.string().nullable(),
  reasoning: z.strictObject({ effort: z.literal("none").nullable(), summary: z.null() }),
  safety_identifier: z.string().nullable(),
  service_tier: z.literal("default"),
  store: z.boolean(),
  temperature: z.number(),
  text: z.strictObject({
    format: TextFormat,
    verbosity: z.literal("medium"),
  }),
  tool_choice: RepeatedToolChoice,
  tools: z.array(ResponseTool),
  top_logprobs: z.int(),
  top_p: z.number(),
  truncation: z.literal("disabled"),
  user: z.string().nullable(),
});
export type ResponseObject = z.infer<typeof ResponseObject>;

/** Items of a request that say something to the model, as they are given back: each has an id. */
const given = { id: z.string(), status: z.literal("completed") };
const InputText = z.strictObject({ type: z.literal("input_text"), text: z.string() });
const Refusal = z.strictObject({ type: z.literal("refusal"), refusal: z.string() });

export const GivenMessage = z.strictObject({
  ...given,
  type: z.literal("message"),
  role: z.enum(["system", "developer", "user", "assistant"]),
  content: z.array(z.discriminatedUnion("type", [InputText, OutputText, Refusal])),
});

const givenOutput = {
  ...given,
  call_id: z.string(),
  output: z.union([z.string(), z.array(InputText)]),
};

/** What a response read: what was said before, and its own input. */
export const GivenItem = z.union([
  OutputItem,
  GivenMessage,
  z.strictObject({ ...givenOutput, type: z.literal("function_call_output") }),
  z.strictObject({ ...givenOutput, type: z.literal("custom_tool_call_output") }),
]);
export type GivenItem = z.infer<typeof GivenItem>;

type WithoutId<T> = T extends unknown ? Omit<T, "id"> & { id?: string } : never;
/** The same before its response has an id, of which an item's is made where its client gave none. */
export type KeptItem = WithoutId<GivenItem>;

/** Query of GET /v1/responses/{id}/input_items. */
export const InputItemsQuery = z.object({
  limit: z
    .string()
    .regex(limits.listedItemsPattern, `must be a number from 1 to ${limits.listedItemsMax}`)
    .optional(),
  order: z.enum(["asc", "desc"]).optional(),
  /** Id of the item after which to begin, in that order. */
  after: fields.identifier.min(1).optional(),
  before: fields.identifier.min(1).optional(),
  include: fields.hint(),
});
export type InputItemsQuery = z.infer<typeof InputItemsQuery>;

export const InputItemList = z.strictObject({
  object: z.literal("list"),
  data: z.array(GivenItem),
  first_id: z.string().nullable(),
  last_id: z.string().nullable(),
  has_more: z.boolean(),
});
export type InputItemList = z.infer<typeof InputItemList>;

export const DeletedResponse = z.strictObject({
  id: z.string(),
  object: z.literal("response"),
  deleted: z.literal(true),
});
export type DeletedResponse = z.infer<typeof DeletedResponse>;
