/**
 * Histories of both APIs as the messages that a template takes: one of the model for what it thought, said and
 * called in one go, and one for each output of a tool. Throws 400 for calls and outputs that no model can have
 * made or had.
 */
import type { ServingError } from "../../errors.js";
import type { ChatMessage } from "../../protocol/chat.js";
import type { InputItem, InputMessage } from "../../protocol/responses.js";
import { type ChatToolCall, nameIn } from "../../protocol/tools.js";
import { conflict } from "./conflict.js";
import { type PromptCall, type PromptMessage, textOf } from "./prompts.js";

/** An item of a stored response, as a history has it. Undefined: there is none. */
export type ItemLookup = (id: string) => InputItem | undefined;

/** The name of the one argument that a custom tool has to a template. */
const customInput = "input";

function custom(input: string): string {
  return JSON.stringify({ [customInput]: input });
}

/** A call without arguments may come without a word. Templates want an object. */
function checkedArguments(text: string, param: string): string {
  if (text.trim() === "") return "{}";
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return text;
  } catch {
    // What is wrong with it is said below, without its text.
  }
  throw conflict(param, `${param} must be a JSON object, as text.`);
}

export function withoutCall(param: string): ServingError {
  return conflict(param, `${param} names no call that came before.`);
}

/** Templates know no developer: the role is OpenAI's newer word for system. */
function roleOf(role: "system" | "developer" | "user" | "assistant"): PromptMessage["role"] {
  return role === "developer" ? "system" : role;
}

// Chat

export function chatHistory(messages: readonly ChatMessage[]): PromptMessage[] {
  const history = new ChatHistory();
  for (const [index, message] of messages.entries()) history.take(message, `messages[${index}]`);
  return history.messages;
}

class ChatHistory {
  readonly messages: PromptMessage[] = [];
  private readonly calls = new Set<string>();
  /** Ids of calls that were made without one, by name. */
  private readonly legacy = new Map<string, string>();

  take(message: ChatMessage, at: string): void {
    switch (message.role) {
      case "assistant":
        this.messages.push(this.assistant(message, at));
        return;
      case "tool": {
        const { tool_call_id } = message;
        if (!this.calls.has(tool_call_id)) throw withoutCall(`${at}.tool_call_id`);
        this.messages.push({ ...plain(message), role: "tool", tool_call_id });
        return;
      }
      case "function": {
        const tool_call_id = this.legacy.get(message.name);
        if (tool_call_id === undefined) throw withoutCall(`${at}.name`);
        this.messages.push({ ...plain(message), role: "tool", tool_call_id });
        return;
      }
      default:
        this.messages.push({ role: roleOf(message.role), ...plain(message) });
    }
  }

  private assistant(message: Extract<ChatMessage, { role: "assistant" }>, at: string) {
    const { content, name, reasoning_content, tool_calls, function_call } = message;
    const calls = (tool_calls ?? []).map((call, i) => chatCall(call, `${at}.tool_calls[${i}]`));
    if (function_call != null) calls.push(this.legacyCall(function_call, `${at}.function_call`));
    for (const { id } of calls) this.calls.add(id);
    const whole: PromptMessage = { role: "assistant", ...plain({ content: content ?? "", name }) };
    if (reasoning_content != null) whole.reasoning_content = reasoning_content;
    if (calls.length > 0) whole.tool_calls = calls;
    return whole;
  }

  private legacyCall(call: { name: string; arguments: string }, at: string): PromptCall {
    const id = `legacy_call_${this.messages.length}`;
    this.legacy.set(call.name, id);
    return callOf(id, call.name, checkedArguments(call.arguments, `${at}.arguments`));
  }
}

function plain({
  content,
  name,
}: {
  content: string | readonly object[];
  name?: string | null | undefined;
}) {
  return { content: textOf(content), ...(name != null && { name }) };
}

function callOf(id: string, name: string, args: string): PromptCall {
  return { id, type: "function", function: { name, arguments: args } };
}

function chatCall(call: ChatToolCall, at: string): PromptCall {
  if (call.type === "custom") return callOf(call.id, call.custom.name, custom(call.custom.input));
  const { name, arguments: text } = call.function;
  return callOf(call.id, name, checkedArguments(text, `${at}.function.arguments`));
}

// Responses

/** `before`: what was said before, to which no field is to blame. */
export function responseHistory(
  items: readonly InputItem[],
  lookup: ItemLookup,
  before: readonly InputItem[] = [],
): PromptMessage[] {
  const history = new ItemHistory(lookup);
  for (const item of before) history.take(item, "previous_response_id");
  for (const [index, item] of items.entries()) history.take(item, `input[${index}]`);
  return history.messages;
}

/** A call that was never made, sent back as it was told: nobody can have an output of it. */
export function isBrokenOff(item: InputItem): boolean {
  const isCall = item.type === "function_call" || item.type === "custom_tool_call";
  return isCall && item.status === "incomplete";
}

class ItemHistory {
  readonly messages: PromptMessage[] = [];
  private readonly calls = new Set<string>();

  constructor(private readonly lookup: ItemLookup) {}

  take(item: InputItem, at: string): void {
    if (isBrokenOff(item)) return;
    switch (item.type) {
      case "reasoning":
        return this.reasoning((item.content ?? []).map(({ text }) => text).join(""));
      case "function_call": {
        const { call_id, namespace, name } = item;
        const args = checkedArguments(item.arguments, `${at}.arguments`);
        return this.call(callOf(call_id, nameIn(namespace, name), args));
      }
      case "custom_tool_call": {
        const { call_id, namespace, name, input } = item;
        return this.call(callOf(call_id, nameIn(namespace, name), custom(input)));
      }
      case "function_call_output":
      case "custom_tool_call_output": {
        const { call_id: tool_call_id, output } = item;
        if (!this.calls.has(tool_call_id)) throw withoutCall(`${at}.call_id`);
        this.messages.push({ role: "tool", tool_call_id, content: textOf(output) });
        return;
      }
      case "item_reference":
        return this.reference(item.id, at);
      default:
        return this.message(item);
    }
  }

  private reference(id: string, at: string): void {
    const item = this.lookup(id);
    if (item === undefined || item.type === "item_reference")
      throw conflict(`${at}.id`, `${at}.id is no item of a stored response.`);
    this.take(item, at);
  }

  private message({ role, content }: InputMessage): void {
    const text = textOf(content);
    const open = role === "assistant" ? this.openTurn : undefined;
    if (open?.content === "" && open.tool_calls === undefined) open.content = text;
    else this.messages.push({ role: roleOf(role), content: text });
  }

  private reasoning(text: string): void {
    if (text === "") return;
    const open = this.openTurn;
    const hasThought = open?.reasoning_content !== undefined;
    if (hasThought && open.content === "" && open.tool_calls === undefined)
      open.reasoning_content += text;
    else this.messages.push({ role: "assistant", content: "", reasoning_content: text });
  }

  private call(call: PromptCall): void {
    this.calls.add(call.id);
    const open = this.openTurn;
    if (open === undefined) {
      this.messages.push({ role: "assistant", content: "", tool_calls: [call] });
      return;
    }
    open.tool_calls ??= [];
    open.tool_calls.push(call);
  }

  /** What the model says goes on with it. */
  private get openTurn(): PromptMessage | undefined {
    const last = this.messages.at(-1);
    return last?.role === "assistant" ? last : undefined;
  }
}
