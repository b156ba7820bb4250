/** Bodies that are wrong before any schema looks at them. */
import { describe, expect, it } from "vitest";
import { ErrorResponse } from "../../../src-ts/protocol/index.js";
import { pass, rawConnection, startServer } from "../support/test-server.js";

async function errorOf(answer: Response) {
  return ErrorResponse.parse(await answer.json()).error;
}

describe("bad bodies", () => {
  it("says what is wrong with JSON that isn't, without repeating it", async () => {
    const { post } = await startServer();
    for (const body of ["{", "", "nonsense secret", '{"a":1}}']) {
      const answer = await post("/v1/chat/completions", body);
      expect(answer.status).toBe(400);
      const error = await errorOf(answer);
      expect(error.code).toBe("invalid_json");
      expect(error.message).not.toContain("secret");
    }
  });

  it("says where JSON ends to be JSON, in the shape of each API", async () => {
    const { post } = await startServer();
    const body = '{"model": "m",\n "messages": [}';
    const said = /line 2, column 15: a value is expected, not “}”/;
    for (const path of ["chat/completions", "completions", "responses", "embeddings", "tokenize"]) {
      const answer = await post(`/v1/${path}`, body);
      expect(answer.status, path).toBe(400);
      expect((await errorOf(answer)).message, path).toMatch(said);
    }
    const anthropic = await (await post("/v1/messages", body)).json();
    expect(anthropic).toMatchObject({
      type: "error",
      error: { type: "invalid_request_error", message: expect.stringMatching(said) },
    });
    const ollama = await (await post("/api/chat", body)).json();
    expect(ollama).toEqual({ error: expect.stringMatching(said) });
  });

  it("refuses bad UTF-8", async () => {
    const { post } = await startServer();
    const body = Buffer.concat([
      Buffer.from('{"messages":[{"role":"user","content":"'),
      Buffer.from([0xff, 0xfe]),
      Buffer.from('"}]}'),
    ]);
    const answer = await post("/v1/chat/completions", "", { body });
    expect(answer.status).toBe(400);
    expect((await errorOf(answer)).message).toContain("UTF-8");
  });

  it("refuses JSON that is too deep, and takes brackets inside strings", async () => {
    const { post } = await startServer({ limits: { jsonDepthMax: 8 } });
    const deep = await post("/v1/chat/completions", `${"[".repeat(9)}${"]".repeat(9)}`);
    expect(deep.status).toBe(400);
    expect((await errorOf(deep)).message).toContain("8 levels");
    const text = `\\"${"[{".repeat(50)}`.replaceAll("\\", "");
    const fine = await post("/v1/chat/completions", {
      messages: [{ role: "user", content: text }],
    });
    expect(fine.status).toBe(200);
  });

  it("survives a hundred thousand brackets", async () => {
    const { post, get } = await startServer();
    const answer = await post("/v1/responses", "[".repeat(100_000));
    expect(answer.status).toBe(400);
    expect((await get("/health")).status).toBe(200);
  });

  it("refuses a body that is too large, one of another type, and none", async () => {
    const { post, url } = await startServer({ limits: { bodyBytesMax: 1000 } });
    const large = await post("/v1/responses", { input: "x".repeat(1001) });
    expect(large.status).toBe(413);
    expect(await errorOf(large)).toMatchObject({ code: "request_too_large" });
    const form = await fetch(`${url}/v1/responses`, { method: "POST", body: "input=hi" });
    expect(form.status).toBe(415);
    expect((await errorOf(form)).message).toContain("application/json");
    const none = await fetch(`${url}/v1/responses`, { method: "POST" });
    expect(none.status).toBe(400);
    expect((await errorOf(none)).type).toBe("invalid_request_error");
  });

  it("treats __proto__ as the unknown field that it is", async () => {
    const { post } = await startServer();
    const answer = await post("/v1/responses", '{"input":"hi","__proto__":{"store":false}}');
    expect(answer.status).toBe(400);
    expect((await errorOf(answer)).code).toBe("unknown_parameter");
    for (const name of ["__proto__", "\\u005f_proto__"]) {
      const inside = await post("/v1/responses", `{"input":"hi","metadata":{"${name}":"x"}}`);
      expect(inside.status).toBe(400);
      expect((await errorOf(inside)).code).toBe("unknown_parameter");
    }
    const text = await post("/v1/responses", { input: 'what is "__proto__"?' });
    expect(text.status).toBe(200);
  });

  it("does not call a client that leaves a fault", async () => {
    const { port, faults, get } = await startServer();
    const { socket, ended } = await rawConnection(port);
    socket.write(
      `POST /v1/responses HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\ncontent-type: application/json\r\ncontent-length: 50\r\n\r\n{`,
    );
    await pass(50);
    socket.resetAndDestroy();
    await ended;
    await pass(50);
    expect((await get("/health")).status).toBe(200);
    expect(faults).toEqual([]);
  });
});
