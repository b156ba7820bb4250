/** An answer as its events tell it: one event after another becomes its text, its reasoning and its calls. Pure. */
import type { ResponseObject, ResponseStreamEvent } from "../../client/index.js";
import { type Answer, type Call, newAnswer, type Usage } from "./conversation.js";

/** An answer on its way, with the text of its message. `askedAt`, `firstAt`: monotonic milliseconds. */
export interface Draft {
  text: string;
  answer: Answer;
  askedAt: number | undefined;
  firstAt: number | undefined;
}

/** `askedAt`: undefined where somebody else asked, and its times can't be told. */
export function newDraft(askedAt: number | undefined, before: Answer = newAnswer()): Draft {
  const answer: Answer = {
    ...before,
    status: "waiting",
    reasoning: "",
    calls: [],
    error: undefined,
  };
  return { text: "", answer, askedAt, firstAt: undefined };
}

export function withEvent(draft: Draft, event: ResponseStreamEvent, now: number): Draft {
  switch (event.type) {
    case "response.created": {
      const { id: responseId, model } = event.response;
      return { ...draft, answer: { ...draft.answer, responseId, model } };
    }
    case "response.output_text.delta":
      return { ...begun(draft, now), text: draft.text + event.delta };
    case "response.reasoning_text.delta": {
      const { answer, ...rest } = begun(draft, now);
      return { ...rest, answer: { ...answer, reasoning: answer.reasoning + event.delta } };
    }
    case "response.output_item.added":
    case "response.output_item.done": {
      const call = callOf(event.item);
      return call === undefined ? draft : withCall(begun(draft, now), call);
    }
    case "response.function_call_arguments.delta": {
      const { calls } = draft.answer;
      const last = calls.at(-1);
      if (last === undefined) return draft;
      const grown = { ...last, arguments: last.arguments + event.delta };
      return { ...draft, answer: { ...draft.answer, calls: [...calls.slice(0, -1), grown] } };
    }
    case "response.completed":
    case "response.incomplete":
    case "response.failed":
      return ended(draft, event.response, now);
    default:
      return draft;
  }
}

/** It could not be asked for, or followed. */
export function withFailure(draft: Draft, error: { code: string; message: string }): Draft {
  return { ...draft, answer: { ...draft.answer, status: "failed", error } };
}

function begun(draft: Draft, now: number): Draft {
  if (draft.firstAt !== undefined) return draft;
  const { answer, askedAt } = draft;
  const ttftMs = askedAt === undefined ? answer.ttftMs : now - askedAt;
  return { ...draft, firstAt: now, answer: { ...answer, status: "streaming", ttftMs } };
}

function withCall(draft: Draft, call: Call): Draft {
  const others = draft.answer.calls.filter(({ callId }) => callId !== call.callId);
  return { ...draft, answer: { ...draft.answer, calls: [...others, call] } };
}

type Item = ResponseObject["output"][number];

function callOf(item: Item): Call | undefined {
  if (item.type === "message" || item.type === "reasoning") return undefined;
  const { call_id: callId, name, status } = item;
  const said = item.type === "function_call" ? item.arguments : item.input;
  return { callId, name, arguments: said, complete: status === "completed" };
}

function ended({ answer, askedAt, firstAt }: Draft, response: ResponseObject, now: number): Draft {
  const { output, usage, error } = response;
  const textOf = (type: "message" | "reasoning"): string =>
    output
      .flatMap((item) => (item.type === type ? item.content.map(({ text }) => text) : []))
      .join("");
  const decodeMs = askedAt === undefined || firstAt === undefined ? undefined : now - firstAt;
  return {
    askedAt,
    firstAt,
    text: textOf("message"),
    answer: {
      ...answer,
      status: statusOf(response),
      responseId: response.id,
      model: response.model,
      reasoning: textOf("reasoning"),
      calls: output.flatMap((item) => callOf(item) ?? []),
      usage: usage === null ? undefined : usageOf(usage),
      decodeMs: decodeMs ?? answer.decodeMs,
      error: error ?? undefined,
    },
  };
}

function statusOf({ status, incomplete_details: details }: ResponseObject): Answer["status"] {
  if (status === "completed") return "done";
  if (status === "failed") return "failed";
  return details?.reason === "max_output_tokens" ? "cut" : "stopped";
}

function usageOf(usage: NonNullable<ResponseObject["usage"]>): Usage {
  return {
    input: usage.input_tokens,
    output: usage.output_tokens,
    cached: usage.input_tokens_details.cached_tokens,
    reasoning: usage.output_tokens_details.reasoning_tokens,
  };
}

/** Tokens a second after the first; undefined where that can't be told. */
export function speedOf({ usage, decodeMs }: Answer): number | undefined {
  if (usage === undefined || decodeMs === undefined || decodeMs <= 0 || usage.output < 2)
    return undefined;
  return ((usage.output - 1) / decodeMs) * 1000;
}
