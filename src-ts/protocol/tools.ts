/**
 * Tools as requests offer and choose them, and calls as histories have them: the schemas of chat and of the
 * Responses API side by side. What goes with what, `server/submissions/tools.ts` and `history.ts` there know.
 */
import { z } from "zod";
import * as fields from "./fields.js";
import * as limits from "./limits.js";

/** A superset of what OpenAI takes. */
const toolName = z
  .string()
  .max(limits.toolNameCharsMax)
  .regex(/^[A-Za-z0-9_.:/-]+$/, "must consist of letters, digits and characters of _.:/-");
const description = z.string().max(limits.toolDescriptionCharsMax).nullish();

/** Of a function: what binds it. `strict`: a schema that can't be kept to as a whole is refused. */
const functionShape = {
  name: toolName,
  description,
  /** A JSON schema of the arguments; none: the function has none. */
  parameters: z.record(z.string(), z.unknown()).nullish(),
  strict: fields.flag,
};

const syntax = z.enum(["lark", "regex"]);
const definition = z.string().min(1).max(limits.toolGrammarCharsMax);
const textFormat = z.object({ type: z.literal("text") });
const hostedTool = "A tool that a host runs";

/** Whatever else a client offers is run by a host that this server isn't: it is not offered to the model. */
function hosted(own: readonly string[]) {
  return z
    .object({ type: fields.identifier.min(1) })
    .refine(({ type }) => !own.includes(type), { error: "is no tool of this kind" })
    .transform(() => undefined)
    .meta({ description: "Any other tool: it is ignored, unless a choice forces it." });
}

const modes = z.enum(["none", "auto", "required"]);
const allowedMode = z.enum(["auto", "required"]);

// Chat

export const ChatTool = z.discriminatedUnion("type", [
  z.object({ type: z.literal("function"), function: z.object(functionShape) }),
  z.object({
    type: z.literal("custom"),
    custom: z.object({
      name: toolName,
      description,
      format: z
        .discriminatedUnion("type", [
          textFormat,
          z.object({
            type: z.literal("grammar"),
            grammar: z.object({ syntax, definition }),
          }),
        ])
        .nullish(),
    }),
  }),
]);
export type ChatTool = z.infer<typeof ChatTool>;

const named = z.object({ name: toolName });

const ChatNamed = z.discriminatedUnion("type", [
  z.object({ type: z.literal("function"), function: named }),
  z.object({ type: z.literal("custom"), custom: named }),
]);

export const ChatToolChoice = z.union([
  z.discriminatedUnion(
    "type",
    [
      ...ChatNamed.options,
      z.object({
        type: z.literal("allowed_tools"),
        allowed_tools: z.object({
          mode: allowedMode,
          tools: z.array(z.union([ChatNamed, hosted(["function", "custom"])])).max(limits.toolsMax),
        }),
      }),
    ],
    { error: fields.notSupported(hostedTool) },
  ),
  modes,
]);

/** What stands in the body of a chat. `functions` and `function_call` are what tools were called before. */
export const chatTooling = {
  tools: z
    .array(z.union([ChatTool, hosted(["function", "custom"])]))
    .max(limits.toolsMax)
    .nullish(),
  tool_choice: ChatToolChoice.nullish(),
  parallel_tool_calls: fields.flag,
  functions: z.array(z.object(functionShape)).max(limits.toolsMax).nullish(),
  function_call: z.union([named, z.enum(["none", "auto"])]).nullish(),
};
export type ChatTooling = z.infer<z.ZodObject<typeof chatTooling>>;

const callText = z.object({ name: toolName, arguments: fields.text });

/** A call in the history of a chat. */
export const ChatToolCall = z.discriminatedUnion("type", [
  z.object({ id: fields.identifier, type: z.literal("function").optional(), function: callText }),
  z.object({
    id: fields.identifier,
    type: z.literal("custom"),
    custom: z.object({ name: toolName, input: fields.text }),
  }),
]);
export type ChatToolCall = z.infer<typeof ChatToolCall>;

export const chatCalls = {
  tool_calls: z.array(ChatToolCall).max(limits.callsPerMessageMax).nullish(),
  function_call: callText.nullish(),
  /** What the model thought before; other servers call it `reasoning`. */
  reasoning_content: fields.text.nullish(),
};

// Responses

export const FunctionTool = z.object({ type: z.literal("function"), ...functionShape });

export const CustomTool = z.object({
  type: z.literal("custom"),
  name: toolName,
  description,
  format: z
    .discriminatedUnion("type", [
      textFormat,
      z.object({ type: z.literal("grammar"), syntax, definition }),
    ])
    .nullish(),
});

/** Tools that a client keeps together: the model knows each by both names. */
export const NamespaceTool = z.object({
  type: z.literal("namespace"),
  name: toolName,
  description,
  tools: z.array(z.discriminatedUnion("type", [FunctionTool, CustomTool])).max(limits.toolsMax),
});

export const ResponseTool = z.discriminatedUnion("type", [FunctionTool, CustomTool, NamespaceTool]);
export type ResponseTool = z.infer<typeof ResponseTool>;

/** By which a model knows a tool of a namespace. */
export function nameIn(namespace: string | null | undefined, name: string): string {
  if (namespace == null) return name;
  return namespace.endsWith("__") ? namespace + name : `${namespace}__${name}`;
}

const ownTypes = ["function", "custom", "namespace"];
const namespace = toolName.nullish();

const ResponseNamed = z.discriminatedUnion("type", [
  z.object({ type: z.literal("function"), name: toolName, namespace }),
  z.object({ type: z.literal("custom"), name: toolName, namespace }),
]);

export const ResponseToolChoice = z.union([
  z.discriminatedUnion(
    "type",
    [
      ...ResponseNamed.options,
      z.object({
        type: z.literal("allowed_tools"),
        mode: allowedMode,
        tools: z.array(z.union([ResponseNamed, hosted(ownTypes)])).max(limits.toolsMax),
      }),
    ],
    { error: fields.notSupported(hostedTool) },
  ),
  modes,
]);

/** As the object of a response shows it: without tools that are not offered. */
export const RepeatedToolChoice = z.union([
  modes,
  z.discriminatedUnion("type", [
    ...ResponseNamed.options,
    z.object({
      type: z.literal("allowed_tools"),
      mode: allowedMode,
      tools: z.array(ResponseNamed),
    }),
  ]),
]);
export type RepeatedToolChoice = z.infer<typeof RepeatedToolChoice>;

/** What stands in the body of a response. */
export const responseTooling = {
  tools: z
    .array(z.union([ResponseTool, hosted(ownTypes)]))
    .max(limits.toolsMax)
    .nullish(),
  tool_choice: ResponseToolChoice.nullish(),
  parallel_tool_calls: fields.flag,
};
export type ResponseTooling = z.infer<z.ZodObject<typeof responseTooling>>;

const callId = fields.identifier.min(1);
const outputPart = z.object({
  type: z.enum(["input_text", "output_text", "text"], {
    error: fields.notSupported("A tool's output other than text"),
  }),
  text: fields.text,
});
const output = z.union([fields.text, z.array(outputPart).max(limits.contentPartsMax)], {
  error: "must be a string or a list of text parts",
});
const sentBack = { id: fields.sentBack, status: fields.sentBack };
/** A call that was broken off says so, and is left out. */
const sentBackCall = {
  ...sentBack,
  status: z.unknown().optional().meta({
    description:
      "Of an earlier output. A call that is `incomplete` is left out; nothing else is read.",
  }),
};

const ReasoningPart = z.object({ type: z.string(), text: fields.text });
const reasoningParts = z.array(ReasoningPart).max(limits.contentPartsMax).nullish();

/** Items of a history beside its messages. */
export const historyItems = [
  z.object({
    type: z.literal("function_call"),
    call_id: callId,
    name: toolName,
    namespace,
    arguments: fields.text,
    ...sentBackCall,
  }),
  z.object({ type: z.literal("function_call_output"), call_id: callId, output, ...sentBack }),
  z.object({
    type: z.literal("custom_tool_call"),
    call_id: callId,
    name: toolName,
    namespace,
    input: fields.text,
    ...sentBackCall,
  }),
  z.object({ type: z.literal("custom_tool_call_output"), call_id: callId, output, ...sentBack }),
  z.object({
    type: z.literal("reasoning"),
    content: reasoningParts,
    summary: fields.sentBack,
    encrypted_content: fields.sentBack,
    ...sentBack,
  }),
  /** An item of a stored response. */
  z.object({ type: z.literal("item_reference"), id: callId }),
] as const;
export type HistoryItem = z.infer<(typeof historyItems)[number]>;
