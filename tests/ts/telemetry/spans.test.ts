import { describe, expect, it } from "vitest";
import type { EngineObserver, Response, Timeline, Transition } from "../../../src-ts/engine/api.js";
import { endedResponse, refusedRequest, type SpanData } from "../../../src-ts/telemetry/spans.js";

type Info = Parameters<NonNullable<EngineObserver["ended"]>>[1];

const sampling = {
  ...{ temperature: 0.5, topP: 0.9, topK: 40, minP: 0, repetitionPenalty: 1 },
  ...{ presencePenalty: 0, frequencyPenalty: 0.25, logitBias: [], seed: 1n },
  ...{ stop: ["canary"], logprobs: -1 },
};
const response = {
  id: "resp_1",
  model: "org/first",
  maxTokens: 60,
  sampling,
} as unknown as Response;
const info: Info = {
  ending: { kind: "length" },
  usage: { promptTokens: 30, cachedTokens: 8, completionTokens: 60, reasoningTokens: 4 },
  calls: { made: 0, complete: 0 },
  e2eMs: 2400,
  queueMs: 30,
  ttftMs: 40,
  operation: "chat",
  origin: { requestId: "req_1" },
};
const timelineOf = (transitions: Transition[]): Timeline => ({
  ...{ id: "resp_1", model: "org/first", priority: "normal", arrivedAtMs: 1_000, live: false },
  ...{ emitted: 60, omitted: 0, transitions },
});
/** As the engine tells of one whose worker was killed in mid-answer. */
const migrated = timelineOf([
  { event: "arrived", afterMs: 0 },
  { event: "preparing", workerId: "w1", afterMs: 1 },
  { event: "prepared", promptTokens: 30, afterMs: 9 },
  { event: "accepted", afterMs: 10 },
  { event: "dispatched", workerId: "w1", attempt: 1, afterMs: 36 },
  { event: "prefilling", cachedTokens: 8, afterMs: 55 },
  { event: "decoding", workerId: "w1", afterMs: 58 },
  { event: "migrated", attempt: 1, reason: "linkClosed", afterMs: 538 },
  { event: "dispatched", workerId: "w2", attempt: 2, afterMs: 1674 },
  { event: "decoding", workerId: "w2", afterMs: 1681 },
  { event: "ended", finish: "length", afterMs: 2400 },
]);
const server = { "server.address": "127.0.0.1", "server.port": 8088 };
const brief = ({ name, startMs, endMs, fault, attributes }: SpanData) => [
  ...[name, startMs, endMs, fault],
  ...[attributes["mlx_serving.worker.id"], attributes["mlx_serving.attempt"]],
];

describe("a response that has ended", () => {
  const { span, figures, origin } = endedResponse(response, info, migrated, server);

  it("is a span with what was asked and what came, and no text", () => {
    expect(span).toMatchObject({ name: "chat org/first", startMs: 1_000, endMs: 3_400 });
    expect(span!.fault).toBeUndefined();
    expect(span!.attributes).toEqual({
      "gen_ai.operation.name": "chat",
      "gen_ai.provider.name": "mlx_serving",
      "gen_ai.request.model": "org/first",
      "gen_ai.response.model": "org/first",
      "gen_ai.response.id": "resp_1",
      "gen_ai.response.finish_reasons": ["length"],
      "gen_ai.request.max_tokens": 60,
      "gen_ai.request.temperature": 0.5,
      "gen_ai.request.top_p": 0.9,
      "gen_ai.request.top_k": 40,
      "gen_ai.request.frequency_penalty": 0.25,
      "gen_ai.usage.input_tokens": 30,
      "gen_ai.usage.output_tokens": 60,
      "gen_ai.usage.cache_read.input_tokens": 8,
      "gen_ai.usage.reasoning.output_tokens": 4,
      "mlx_serving.request.id": "req_1",
      "mlx_serving.request.priority": "normal",
      "mlx_serving.request.attempts": 2,
      ...server,
    });
    expect(origin).toEqual({ requestId: "req_1" });
  });

  it("has a span for each phase of each attempt, without a gap from its acceptance on", () => {
    expect(span!.children.map(brief)).toEqual([
      ["prepare", 1001, 1009, undefined, "w1", undefined],
      ["queue", 1010, 1036, undefined, undefined, undefined],
      ["prefill", 1036, 1058, undefined, "w1", 1],
      ["decode", 1058, 1538, "linkClosed", "w1", 1],
      ["queue", 1538, 2674, undefined, undefined, undefined],
      ["prefill", 2674, 2681, undefined, "w2", 2],
      ["decode", 2681, 3400, undefined, "w2", 2],
    ]);
    expect(span!.children[2]!.attributes["mlx_serving.prefill.cached_tokens"]).toBe(8);
  });

  it("tells of its migration", () => {
    expect(span!.events).toEqual([
      {
        name: "mlx_serving.migrated",
        atMs: 1538,
        attributes: { "mlx_serving.attempt": 1, "mlx_serving.migration.reason": "linkClosed" },
      },
    ]);
  });

  it("has figures", () => {
    const { attributes, perTokenS, ...rest } = figures;
    expect(rest).toEqual({ durationS: 2.4, ttftS: 0.04, inputTokens: 30, outputTokens: 60 });
    expect(perTokenS).toBeCloseTo((2.4 - 0.04) / 59);
    expect(attributes).not.toHaveProperty("mlx_serving.request.id");
    expect(attributes).not.toHaveProperty("error.type");
  });

  it("is a fault when it failed, an error when its time was over, and neither when it was cancelled", () => {
    const failed = { kind: "failed", code: "worker_crashed", message: "words" } as const;
    const kinds = [failed, { kind: "expired" }, { kind: "cancelled" }] as const;
    const seen = kinds.map((ending) => {
      const { span, figures } = endedResponse(response, { ...info, ending }, migrated, {});
      const { fault, attributes } = span!;
      expect(figures.ttftS).toBeUndefined();
      return [fault, attributes["error.type"], attributes["gen_ai.response.finish_reasons"]];
    });
    expect(seen).toEqual([
      ["worker_crashed", "worker_crashed", ["error"]],
      [undefined, "deadline_exceeded", ["error"]],
      [undefined, undefined, ["cancelled"]],
    ]);
  });

  it("has figures alone when its timeline is forgotten", () => {
    const { span, figures } = endedResponse(response, info, undefined, {});
    expect(span).toBeUndefined();
    expect(figures.durationS).toBe(2.4);
  });

  it("has no pace of one token, and none without one", () => {
    const usage = { ...info.usage, completionTokens: 1 };
    expect(endedResponse(response, { ...info, usage }, migrated, {}).figures).toMatchObject({
      ttftS: 0.04,
      perTokenS: undefined,
    });
    const none = endedResponse(response, { ...info, ttftMs: undefined }, migrated, {});
    expect(none.figures.ttftS).toBeUndefined();
  });
});

describe("a request that was turned away", () => {
  const refused = {
    ...{ code: "context_length_exceeded", status: 400, model: "org/first", id: "resp_2" },
    ...{ afterMs: 12, operation: "completion" as const, origin: { requestId: "req_2" } },
  };
  const timeline = timelineOf([
    { event: "arrived", afterMs: 0 },
    { event: "preparing", workerId: "w1", afterMs: 2 },
    { event: "turnedAway", reason: "tooLong", afterMs: 12 },
  ]);

  it("is a span with its code, and a fault only if it is the server's", () => {
    const { span, figures } = refusedRequest(refused, timeline, server)!;
    expect(span).toMatchObject({ name: "text_completion org/first", fault: undefined });
    expect(span!.attributes["error.type"]).toBe("context_length_exceeded");
    expect(span!.children.map(brief)).toEqual([
      ["prepare", 1002, 1012, undefined, "w1", undefined],
    ]);
    expect(figures).toMatchObject({ durationS: 0.012 });
    const full = refusedRequest({ ...refused, code: "no_worker", status: 503 }, timeline, {});
    expect(full!.span!.fault).toBe("no_worker");
  });

  it("names no model that clients invent, and is no request if it was only counted", () => {
    const unknown = { code: "model_not_found", status: 404, model: undefined };
    const { span, figures } = refusedRequest({ ...unknown, operation: "chat" }, undefined, {})!;
    expect(span).toBeUndefined();
    expect(Object.keys(figures.attributes)).not.toContain("gen_ai.request.model");
    expect(refusedRequest(unknown, undefined, {})).toBeUndefined();
  });
});

describe("the wait of a request that is queued again", () => {
  it("is one, whoever tells of it first", () => {
    const { span } = endedResponse(
      response,
      info,
      timelineOf([
        { event: "accepted", afterMs: 1 },
        { event: "queued", afterMs: 1 },
        { event: "dispatched", workerId: "w1", attempt: 1, afterMs: 5 },
        { event: "ended", finish: "stop", afterMs: 9 },
      ]),
      {},
    );
    expect(span!.children.map(({ name, startMs, endMs }) => [name, startMs, endMs])).toEqual([
      ["queue", 1001, 1005],
      ["prefill", 1005, 1009],
    ]);
  });
});
