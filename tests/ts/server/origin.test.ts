/** Whose call a submission comes from: on every way in, with the trace that the client is in. */
import { describe, expect, it } from "vitest";
import { startServer } from "../support/test-server.js";
import { openSocket } from "../support/test-socket.js";

const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const other = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const messages = [{ role: "user", content: "Hi" }];

const routes: [string, object][] = [
  ["/v1/chat/completions", { messages, n: 2 }],
  ["/v1/completions", { prompt: "Hi" }],
  ["/v1/responses", { input: "Hi" }],
  ["/v1/messages", { model: "org/first", max_tokens: 5, messages }],
  ["/v1/embeddings", { input: "Hi" }],
  ["/api/chat", { model: "org/first", messages, stream: false }],
  ["/api/generate", { model: "org/first", prompt: "Hi", stream: false }],
];

describe.each(routes)("POST %s", (path, body) => {
  it("passes on its request id and its trace", async () => {
    const { post, engine } = await startServer();
    const headers = { traceparent, tracestate: "a=b", "x-request-id": "mine" };
    expect((await post(path, body, { headers })).status).toBe(200);
    expect(engine.submissions.length).toBeGreaterThan(0);
    for (const { origin } of engine.submissions)
      expect(origin).toEqual({ requestId: "mine", traceparent, tracestate: "a=b" });
  });
});

describe("a socket", () => {
  it("has the trace of its upgrade, and a message may have its own, as Codex says it", async () => {
    const { url, engine } = await startServer();
    const headers = { traceparent, "x-request-id": "mine" };
    const socket = await openSocket(url, { headers });
    let asked = 0;
    const ask = async (fields: object) => {
      socket.create(fields);
      await socket.until(({ type }) => type === "response.completed", ++asked);
    };
    await ask({});
    const metadata = { ws_request_header_traceparent: other, ws_request_header_tracestate: "c=d" };
    await ask({ client_metadata: metadata });
    for (const client_metadata of [{ ws_request_header_traceparent: 3 }, null, "text"])
      await ask({ client_metadata });
    const own = { requestId: "mine", traceparent };
    expect(engine.submissions.map(({ origin }) => origin)).toEqual([
      own,
      { requestId: "mine", traceparent: other, tracestate: "c=d" },
      ...[own, own, own],
    ]);
  });
});
