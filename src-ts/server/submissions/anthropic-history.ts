/**
 * A history of Anthropic's API as the messages that a template takes: a turn of the user may hold results of tools
 * and text, and becomes a message for each. Throws 400 for results of calls that nobody has made.
 */
import type {
  AnthropicAssistantBlock,
  AnthropicCountBody,
  AnthropicMessageParam,
  AnthropicUserBlock,
} from "../../protocol/anthropic.js";
import { isBilling, isTokenCounter } from "./agent-noise.js";
import { withoutCall } from "./history.js";
import { type PromptCall, type PromptMessage, textOf } from "./prompts.js";

type System = AnthropicCountBody["system"];

/** `keepsNoise`: also what agents write into their requests that is another in every turn. */
export function anthropicHistory(
  system: System,
  messages: readonly AnthropicMessageParam[],
  keepsNoise = false,
): PromptMessage[] {
  const history = new History(keepsNoise);
  history.system(system ?? "");
  for (const [index, message] of messages.entries()) history.take(message, `messages[${index}]`);
  return history.messages;
}

class History {
  readonly messages: PromptMessage[] = [];
  private readonly calls = new Set<string>();

  constructor(private readonly keepsNoise: boolean) {}

  /** A text that is no block is left whole, but where it is nothing else than a counter. */
  system(content: NonNullable<System>): void {
    const isKept = ({ text }: { text: string }) => !isBilling(text) && !isTokenCounter(text);
    const blocks = typeof content === "string" ? [textBlock(content)] : content;
    const isWhole = this.keepsNoise || (typeof content === "string" && !isTokenCounter(content));
    const text = textOf(isWhole ? blocks : blocks.filter(isKept));
    if (text !== "") this.messages.push({ role: "system", content: text });
  }

  take(message: AnthropicMessageParam, at: string): void {
    switch (message.role) {
      case "system":
        return this.system(message.content);
      case "user":
        return this.user(message.content, at);
      case "assistant":
        return this.assistant(message.content);
    }
  }

  private user(content: string | readonly AnthropicUserBlock[], at: string): void {
    const blocks = typeof content === "string" ? [textBlock(content)] : content;
    const isAlone = blocks.length === 1;
    let texts: { text: string }[] = [];
    const say = () => {
      if (texts.length > 0) this.messages.push({ role: "user", content: textOf(texts) });
      texts = [];
    };
    for (const [index, block] of blocks.entries()) {
      if (block.type === "text") {
        // What somebody says and nothing beside it is what he says.
        if (this.keepsNoise || isAlone || !isTokenCounter(block.text)) texts.push(block);
      } else {
        say();
        this.result(block, `${at}.content[${index}]`);
      }
    }
    // A turn in which nothing is said is one too.
    if (blocks.length === 0) texts.push({ text: "" });
    say();
  }

  private result(block: Extract<AnthropicUserBlock, { type: "tool_result" }>, at: string): void {
    const { tool_use_id: tool_call_id, content, is_error } = block;
    if (!this.calls.has(tool_call_id)) throw withoutCall(`${at}.tool_use_id`);
    const text = textOf(content ?? "");
    this.messages.push({ role: "tool", tool_call_id, content: is_error ? asError(text) : text });
  }

  private assistant(content: string | readonly (AnthropicAssistantBlock | undefined)[]): void {
    const blocks =
      typeof content === "string"
        ? [textBlock(content)]
        : content.filter((block) => block !== undefined);
    const calls = blocks.flatMap((block) => (block.type === "tool_use" ? [callOf(block)] : []));
    const thoughts = blocks.flatMap((block) => (block.type === "thinking" ? [block.thinking] : []));
    for (const { id } of calls) this.calls.add(id);
    this.messages.push({
      role: "assistant",
      content: textOf(blocks.filter((block) => block.type === "text")),
      ...(thoughts.length > 0 && { reasoning_content: thoughts.join("") }),
      ...(calls.length > 0 && { tool_calls: calls }),
    });
  }
}

function textBlock(text: string): { type: "text"; text: string } {
  return { type: "text", text };
}

function callOf({
  id,
  name,
  input,
}: Extract<AnthropicAssistantBlock, { type: "tool_use" }>): PromptCall {
  return { id, type: "function", function: { name, arguments: JSON.stringify(input) } };
}

/** Templates have no other way to say it. */
function asError(text: string): string {
  return text === "" ? "Error" : `Error: ${text}`;
}
