/** What a conversation asks of the server: its path as input items, its settings as parameters. Pure. */
import type { Attachment, Message, Settings } from "./conversation.js";

/** A body of `response.create`, as far as this page writes one. */
export interface AnswerRequest {
  input: object[];
  store: true;
  model?: string;
  instructions?: string;
  temperature?: number;
  top_p?: number;
  top_k?: number;
  min_p?: number;
  repetition_penalty?: number;
  max_output_tokens?: number;
  seed?: number;
  reasoning?: { effort: "none" };
  tools?: object[];
}

/** `path`: up to the message that is to be answered. Throws SyntaxError or TypeError where the tools are none. */
export function requestOf(path: readonly Message[], settings: Settings): AnswerRequest {
  const tools = toolsOf(settings.tools);
  return {
    input: path.flatMap(itemsOf),
    store: true,
    ...(settings.model !== null && { model: settings.model }),
    ...(settings.system.trim() !== "" && { instructions: settings.system }),
    ...given("temperature", settings.temperature),
    ...given("top_p", settings.topP),
    ...given("top_k", settings.topK),
    ...given("min_p", settings.minP),
    ...given("repetition_penalty", settings.repetitionPenalty),
    ...given("max_output_tokens", settings.maxTokens),
    ...given("seed", settings.seed),
    ...(settings.reasoning === "off" && { reasoning: { effort: "none" as const } }),
    ...(tools.length > 0 && { tools }),
  };
}

const given = <K extends string>(name: K, value: number | null): Partial<Record<K, number>> =>
  value === null ? {} : ({ [name]: value } as Record<K, number>);

function itemsOf(message: Message): object[] {
  if (message.role === "user")
    return [{ type: "message", role: "user", content: promptOf(message) }];
  const { text, answer } = message;
  const said = text === "" ? [] : [{ type: "output_text", text }];
  const calls = (answer?.calls ?? []).filter(({ callId, complete }) => {
    // A call without its output is refused by templates.
    return complete && answer?.results[callId] !== undefined;
  });
  return [
    ...(said.length > 0 ? [{ type: "message", role: "assistant", content: said }] : []),
    ...calls.map(({ callId, name, arguments: given }) => ({
      ...{ type: "function_call", call_id: callId, name },
      arguments: given,
    })),
    ...calls.map(({ callId }) => ({
      ...{ type: "function_call_output", call_id: callId },
      output: answer!.results[callId],
    })),
  ];
}

/** A user's text with the files before it, as models know them from code reviews. */
export function promptOf({ text, attachments }: Pick<Message, "text" | "attachments">): string {
  return [...attachments.map(fileText), text].filter((part) => part !== "").join("\n\n");
}

function fileText({ name, text }: Attachment): string {
  // A fence that is longer than any in the file.
  const longest = Math.max(2, ...Array.from(text.matchAll(/`+/g), ([ticks]) => ticks.length));
  const fence = "`".repeat(longest + 1);
  return `File ${name}:\n${fence}\n${text}${text.endsWith("\n") ? "" : "\n"}${fence}`;
}

/** Takes the shape of the Responses API and that of chat completions. */
export function toolsOf(text: string): object[] {
  if (text.trim() === "") return [];
  const parsed: unknown = JSON.parse(text);
  const list = Array.isArray(parsed) ? parsed : [parsed];
  return list.map((tool: unknown) => {
    if (typeof tool !== "object" || tool === null) throw new TypeError("not an object");
    const { function: inner, ...rest } = tool as Record<string, unknown>;
    return typeof inner === "object" ? { ...rest, ...inner } : tool;
  });
}

/** Tokens that a text may have, where nobody has counted. */
export function estimatedTokens(text: string): number {
  return Math.ceil(text.length / 3.6);
}
