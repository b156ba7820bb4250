/**
 * What the HTTP APIs call things: their paths, request bodies and the few fields of a stream that
 * count. Reads leniently, since any OpenAI-compatible server may be at the other end.
 */
import { noteText, type RequestBody, type RequestRecord, type TokenUsage } from "./target.js";

export interface Dialect {
  path: string;
  body(request: RequestBody): Record<string, unknown>;
  /** Notes in the record what this event says; true when the answer is complete. */
  read(event: StreamEvent, record: RequestRecord): boolean;
}

interface Counts {
  prompt_tokens?: number;
  completion_tokens?: number;
  prompt_tokens_details?: { cached_tokens?: number } | null;
  input_tokens?: number;
  output_tokens?: number;
  input_tokens_details?: { cached_tokens?: number } | null;
}

interface StreamError {
  code?: unknown;
  type?: unknown;
}

/** The fields that are looked at, of a chat chunk and of a response event. */
export interface StreamEvent {
  error?: StreamError | null;
  choices?: {
    delta?: { content?: string; reasoning_content?: string; reasoning?: string };
    finish_reason?: string | null;
  }[];
  usage?: Counts | null;
  type?: string;
  delta?: string;
  code?: unknown;
  response?: { usage?: Counts | null; error?: StreamError | null };
}

export function readUsage(usage: Counts | null | undefined): TokenUsage | undefined {
  const completionTokens = usage?.completion_tokens ?? usage?.output_tokens;
  if (usage == null || completionTokens === undefined) return undefined;
  const details = usage.prompt_tokens_details ?? usage.input_tokens_details;
  return {
    promptTokens: usage.prompt_tokens ?? usage.input_tokens ?? 0,
    cachedTokens: details?.cached_tokens ?? 0,
    completionTokens,
  };
}

function failureOf(error: StreamError | null | undefined): string {
  const name = error?.code ?? error?.type;
  return typeof name === "string" && name !== "" ? name : "error";
}

export const chat: Dialect = {
  path: "/chat/completions",
  body: ({ prompt, maxTokens }) => ({
    messages: typeof prompt === "string" ? [{ role: "user", content: prompt }] : prompt,
    max_tokens: maxTokens,
    temperature: 0,
    stream: true,
    stream_options: { include_usage: true },
  }),
  read(event, record) {
    if (event.error != null) record.failure = failureOf(event.error);
    const choice = event.choices?.[0];
    const delta = choice?.delta;
    const text = delta?.content || delta?.reasoning_content || delta?.reasoning;
    if (text) noteText(record, text);
    record.usage = readUsage(event.usage) ?? record.usage;
    return choice?.finish_reason != null;
  },
};

export const responses: Dialect = {
  path: "/responses",
  body: ({ prompt, maxTokens }) => ({
    input: prompt,
    max_output_tokens: maxTokens,
    temperature: 0,
    store: false,
    stream: true,
  }),
  read(event, record) {
    switch (event.type) {
      case "response.output_text.delta":
      case "response.reasoning_text.delta":
        noteText(record, event.delta ?? "");
        return false;
      case "response.completed":
      case "response.incomplete":
        record.usage = readUsage(event.response?.usage);
        return true;
      case "response.failed":
        record.failure = failureOf(event.response?.error);
        return true;
      case "error":
        record.failure = failureOf(event.error ?? event);
        return true;
      default:
        return false;
    }
  },
};
