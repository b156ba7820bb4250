/** Wherever a string comes in, half of a surrogate pair goes no further. */
import { describe, expect, it } from "vitest";
import { ErrorResponse } from "../../../../src-ts/protocol/index.js";
import { startServer } from "../../support/test-server.js";
import { openSocket, refusedUpgrade } from "../../support/test-socket.js";

async function refused(answer: Response, status = 400) {
  expect(answer.status).toBe(status);
  return ErrorResponse.parse(await answer.json()).error;
}

describe("a body with half of a surrogate pair", () => {
  const user = (fields: string) => `{"messages":[{"role":"user",${fields}}]}`;
  const bodies: [string, string, string][] = [
    ["chat/completions", user('"content":"caf\\ud83d"'), "messages"],
    ["chat/completions", user('"content":[{"type":"text","text":"\\ude00"}]'), "messages"],
    ["chat/completions", user('"content":"x","name":"\\udc00"'), "messages"],
    ["chat/completions", `{"stop":["\\ud800"],${user('"content":"x"').slice(1)}`, "stop"],
    [
      "chat/completions",
      `{"metadata":{"\\ud800":"x"},${user('"content":"x"').slice(1)}`,
      "metadata",
    ],
    ["chat/completions", `{"user":"\\ud800",${user('"content":"x"').slice(1)}`, "user"],
    ["completions", '{"prompt":"\\udfff"}', "prompt"],
    ["completions", '{"prompt":["fine","\\udbff"]}', "prompt"],
    ["completions", '{"prompt":"x","suffix":"\\ud800"}', "suffix"],
    ["responses", '{"input":"\\ud83d\\ud83d\\ude00"}', "input"],
    ["responses", '{"input":[{"role":"user","content":"\\ud83d"}]}', "input"],
    ["responses", '{"input":"x","instructions":"\\udc00"}', "instructions"],
    ["responses", '{"input":"x","nobody knows me":["\\udc00"]}', "nobody knows me"],
    ["ws-tickets", '{"x":"\\udc00"}', "x"],
  ];
  it.each(bodies)("of %s: %s names %s", async (route, body, param) => {
    const { post, engine, faults } = await startServer();
    const error = await refused(await post(`/v1/${route}`, body));
    expect(error).toMatchObject({ type: "invalid_request_error", code: "invalid_unicode", param });
    expect(engine.submissions).toEqual([]);
    expect(faults).toEqual([]);
  });

  it("is served when the other half follows", async () => {
    const { post, engine } = await startServer();
    const answer = await post(
      "/v1/responses",
      '{"input":"\\ud83d\\ude00","stop":"\\uD83D\\uDE00"}',
    );
    expect(answer.status).toBe(200);
    const [submission] = engine.submissions;
    expect(submission!.input).toMatchObject({ messages: [{ content: "\u{1f600}" }] });
    expect(submission!.sampling.stop).toEqual(["\u{1f600}"]);
  });
});

describe("a message with half of a surrogate pair", () => {
  const key = "mlx_serving:idempotency_key";
  const messages: [string, string][] = [
    ['{"type":"response.create","input":"\\ud83d"}', "input"],
    ['{"type":"response.create","input":"x","stop":"\\udc00"}', "stop"],
    ['{"type":"response.create","input":"x","metadata":{"a":"\\udc00"}}', "metadata"],
    ['{"type":"response.cancel","response_id":"\\udc00"}', "response_id"],
    ['{"type":"\\udc00"}', "type"],
    [`{"type":"response.create","input":"x","${key}":"\\ud800"}`, key],
  ];

  it.each(messages)("%s is an error event about %s", async (message, param) => {
    const { url, engine } = await startServer();
    const socket = await openSocket(url);
    socket.send(`{"event_id":"e1","stream_id":"lane",${message.slice(1)}`);
    expect(await socket.type("error")).toMatchObject({
      status: 400,
      error: { type: "invalid_request_error", code: "invalid_unicode", param },
      event_id: "e1",
      stream_id: "lane",
    });
    socket.create();
    await socket.ended();
    expect(engine.submissions).toHaveLength(1);
  });

  it("repeats no id that is malformed itself", async () => {
    const { url } = await startServer();
    const socket = await openSocket(url);
    socket.send('{"type":"response.create","event_id":"\\ud800","stream_id":"\\ud800"}');
    const event = await socket.type("error");
    expect(event).toMatchObject({ status: 400, error: { param: "event_id" } });
    expect(event).not.toHaveProperty("event_id");
    expect(event).not.toHaveProperty("stream_id");
  });
});

describe("strings outside of bodies", () => {
  // ED A0 80 is what half a pair would be in UTF-8, if UTF-8 had it.
  const half = "%ED%A0%80";

  it("have no halves: in paths they are no URL, in queries no value", async () => {
    const { get, url, faults } = await startServer();
    for (const path of [`/v1/responses/${half}`, `/v1/models/${half}`, `/v1/models/org/${half}`])
      expect((await refused(await get(path))).code, path).toBe("invalid_url");
    for (const query of [`stream=${half}`, `starting_after=${half}`])
      expect((await get(`/v1/responses/resp_1?${query}`)).status, query).toBe(400);
    const ticket = { path: `/v1/responses?ticket=${half}` };
    expect((await refusedUpgrade(url, ticket)).body.error.code).toBe("invalid_ticket");
    const events = { path: `/v1/responses?events=${half}` };
    expect((await refusedUpgrade(url, events)).status).toBe(400);
    expect(faults).toEqual([]);
  });

  it("are bytes in headers, and refused or passed over where they are not printable", async () => {
    const { post, get } = await startServer();
    const bytes = Buffer.from("eda080", "hex").toString("latin1");
    const body = { input: "x" };
    const withHeader = (name: string) =>
      post("/v1/responses", body, { headers: { [name]: bytes } });
    for (const name of ["idempotency-key", "x-mlx-serving-priority", "x-mlx-serving-deadline-ms"])
      expect(await refused(await withHeader(name))).toMatchObject({ param: name });
    const answer = await get("/health", { headers: { "x-request-id": bytes } });
    expect(answer.headers.get("x-request-id")).toMatch(/^req_/);
  });
});
