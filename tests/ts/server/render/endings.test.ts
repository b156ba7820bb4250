import { describe, expect, it } from "vitest";
import type { Ending } from "../../../../src-ts/engine/api.js";
import {
  ErrorResponse,
  ResponseObject,
  ResponseStreamEvent,
} from "../../../../src-ts/protocol/index.js";
import { hold, type Run } from "../../support/scripted-engine.js";
import { eventually, parseSse, startServer } from "../../support/test-server.js";
import { openSocket } from "../../support/test-socket.js";

interface Row {
  ending: Ending;
  event: string;
  status: string;
  reason?: string;
  code?: string;
  finishReason?: string;
  /** Of a chat that ends so before its first chunk. */
  httpStatus: number;
}

const rows: Row[] = [
  {
    ending: { kind: "stop" },
    event: "response.completed",
    status: "completed",
    finishReason: "stop",
    httpStatus: 200,
  },
  {
    ending: { kind: "length" },
    event: "response.incomplete",
    status: "incomplete",
    reason: "max_output_tokens",
    finishReason: "length",
    httpStatus: 200,
  },
  {
    ending: { kind: "toolCalls" },
    event: "response.completed",
    status: "completed",
    finishReason: "tool_calls",
    httpStatus: 200,
  },
  {
    ending: { kind: "cancelled" },
    event: "response.incomplete",
    status: "cancelled",
    reason: "cancelled",
    code: "cancelled",
    httpStatus: 499,
  },
  {
    ending: { kind: "expired" },
    event: "response.failed",
    status: "failed",
    code: "deadline_exceeded",
    httpStatus: 504,
  },
  {
    ending: { kind: "failed", code: "worker_crashed", message: "it died" },
    event: "response.failed",
    status: "failed",
    code: "worker_crashed",
    httpStatus: 500,
  },
  {
    ending: { kind: "failed", code: "out_of_memory", message: "too big" },
    event: "response.failed",
    status: "failed",
    code: "out_of_memory",
    httpStatus: 503,
  },
  {
    ending: { kind: "failed", code: "server_shutdown", message: "going" },
    event: "response.failed",
    status: "failed",
    code: "server_shutdown",
    httpStatus: 503,
  },
];

const chat = { messages: [{ role: "user", content: "hi" }] };

/** Starts `request`, lets it say `text`, ends it. */
async function ended(path: string, body: object, text: string, ending: Ending): Promise<Response> {
  const { post, engine } = await startServer();
  engine.script = hold;
  const answer = post(path, body);
  await eventually(() => engine.runs.length === 1);
  const [run] = engine.runs;
  if (text !== "") {
    run!.emit(text);
    // The first chunk is out before the end comes.
    if ("stream" in body) await answer;
  }
  run!.end(ending);
  return answer;
}

describe.each(rows)("$ending.kind $ending.code", (row) => {
  const { ending } = row;

  it.each(["", "half"])("Responses stream after %j", async (text) => {
    const answer = await ended("/v1/responses", { input: "hi", stream: true }, text, ending);
    expect(answer.status).toBe(200);
    const { events } = parseSse(await answer.text());
    const last = ResponseStreamEvent.parse(JSON.parse(events.at(-1)!.data));
    expect(last.type).toBe(row.event);
    expectResponse(row, (last as unknown as { response: ResponseObject }).response);
  });

  it("Responses, not streamed", async () => {
    const answer = await ended("/v1/responses", { input: "hi" }, "half", ending);
    expect(answer.status).toBe(200);
    expectResponse(row, ResponseObject.parse(await answer.json()));
  });

  it("Responses over WebSocket", async () => {
    const { engine, url } = await startServer();
    engine.script = (run: Run) => {
      hold(run);
      run.emit("half");
      run.end(ending);
    };
    const socket = await openSocket(url);
    socket.create();
    const last = await socket.ended();
    expect(last.type).toBe(row.event);
    expectResponse(row, last.response as ResponseObject);
  });

  it("chat, not streamed", async () => {
    const answer = await ended("/v1/chat/completions", chat, "half", ending);
    await expectChat(row, answer);
  });

  it("chat stream before its first chunk", async () => {
    const answer = await ended("/v1/chat/completions", { ...chat, stream: true }, "", ending);
    if (ending.kind === "cancelled") {
      expect(await answer.text()).toBe("");
      return;
    }
    expect(answer.status).toBe(row.httpStatus);
    if (row.finishReason === undefined) {
      expect(ErrorResponse.parse(await answer.json()).error.code).toBe(row.code);
    } else expect(await answer.text()).toContain("data: [DONE]");
  });

  it("chat stream after its first chunk", async () => {
    const answer = await ended("/v1/chat/completions", { ...chat, stream: true }, "half", ending);
    expect(answer.status).toBe(200);
    const { events } = parseSse(await answer.text());
    const last = events.at(-1)!.data;
    if (row.finishReason !== undefined) {
      expect(last).toBe("[DONE]");
      const chunk = JSON.parse(events.at(-2)!.data) as { choices: { finish_reason: string }[] };
      expect(chunk.choices[0]!.finish_reason).toBe(row.finishReason);
    } else if (ending.kind === "cancelled") {
      expect(events.some(({ data }) => data === "[DONE]" || data.includes('"error"'))).toBe(false);
    } else {
      expect(ErrorResponse.parse(JSON.parse(last)).error.code).toBe(row.code);
      expect(events.some(({ data }) => data === "[DONE]")).toBe(false);
    }
  });
});

function expectResponse(row: Row, response: ResponseObject): void {
  expect(response.status).toBe(row.status);
  expect(response.incomplete_details?.reason).toBe(row.reason);
  expect(response.error?.code).toBe(row.status === "failed" ? row.code : undefined);
  expect(response.usage).toMatchObject({ input_tokens: 7 });
  expect(response.completed_at === null).toBe(row.status !== "completed");
}

async function expectChat(row: Row, answer: Response): Promise<void> {
  expect(answer.status).toBe(row.httpStatus);
  const body: unknown = await answer.json();
  if (row.finishReason === undefined) {
    expect(ErrorResponse.parse(body).error.code).toBe(row.code);
    expect(answer.headers.has("retry-after")).toBe(row.httpStatus === 503);
  } else {
    const { choices } = body as { choices: { finish_reason: string }[] };
    expect(choices[0]!.finish_reason).toBe(row.finishReason);
  }
}
