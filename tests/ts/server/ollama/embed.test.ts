/** POST /api/embed and /api/embeddings, by Ollama's official client and by what others send. */
import { Ollama } from "ollama";
import { expect, it } from "vitest";
import { ServingError } from "../../../../src-ts/errors.js";
import { OllamaEmbed, OllamaError } from "../../../../src-ts/protocol/ollama.js";
import { startServer } from "../../support/test-server.js";

const model = "org/first:latest";

it("gives a vector for each text, in order, for Ollama's client", async () => {
  const { url, engine } = await startServer();
  const client = new Ollama({ host: url });
  const input = Array.from({ length: 70 }, (_, i) => "x".repeat(i + 1));
  const answer = await client.embed({ model, input });
  expect(answer.model).toBe("org/first");
  expect(answer.embeddings).toEqual(input.map((_, i) => [(i + 1) % 10, 1]));
  expect(engine.submissions).toHaveLength(2);
  const one = await client.embed({ model, input: "ab", truncate: false, dimensions: 1 });
  expect(one.embeddings).toEqual([[1]]);
  expect(one.prompt_eval_count).toBeGreaterThan(0);
  expect(await client.embeddings({ model, prompt: "ab" })).toEqual({ embedding: [2, 1] });
});

it("asks whether the model is there, without a text", async () => {
  const { post, engine } = await startServer();
  for (const body of [{ model }, { model, input: "" }, { model, input: [] }]) {
    const answer = OllamaEmbed.parse(await (await post("/api/embed", body)).json());
    expect(answer).toMatchObject({ model: "org/first", embeddings: [], prompt_eval_count: 0 });
  }
  expect(await (await post("/api/embeddings", { model })).json()).toEqual({ embedding: [] });
  expect(engine.submissions).toEqual([]);
  expect((await post("/api/embed", { model: "none" })).status).toBe(404);
});

it("names what is wrong in this API's shape and words", async () => {
  const { post, engine } = await startServer();
  const errorOf = async (path: string, body: object) => {
    const answer = await post(path, body);
    expect(answer.status).toBe(400);
    return OllamaError.parse(await answer.json()).error;
  };
  expect(await errorOf("/api/embed", { input: ["a", ""] })).toContain("input");
  expect(await errorOf("/api/embed", { input: Array(2_049).fill("a") })).toContain("2,048");
  expect(await errorOf("/api/embed", { input: "a", dimensions: 3 })).toContain("at most 2");
  expect(await errorOf("/api/embeddings", { prompt: 5 })).toContain("prompt");
  const code = "context_length_exceeded" as const;
  const message = "input[0]: 300 tokens; the limit is 256";
  engine.refusal = new ServingError(message, { code, status: 400, param: "input[0]" });
  expect(await errorOf("/api/embeddings", { prompt: "a" })).toBe(
    "prompt: 300 tokens; the limit is 256",
  );
});

it("ignores what changes no vector, and says so", async () => {
  const { post } = await startServer();
  const answer = await post("/api/embed", {
    input: "a",
    truncate: true,
    keep_alive: "5m",
    options: { num_ctx: 2048 },
  });
  expect(answer.status).toBe(200);
  const ignored = answer.headers.get("x-mlx-serving-ignored");
  for (const name of ["truncate", "keep_alive", "options"]) expect(ignored).toContain(name);
});

it.each([undefined, "application/x-www-form-urlencoded", "text/plain"])(
  "is JSON, as every body of this API is, in a request of the type %s",
  async (type) => {
    const { url } = await startServer();
    // `fetch` would add a type of its own to a text.
    const body = new TextEncoder().encode(JSON.stringify({ model, input: "abc" }));
    const headers = new Headers(type === undefined ? {} : { "content-type": type });
    const send = (path: string) => fetch(`${url}${path}`, { method: "POST", body, headers });
    const answer = await send("/api/embed");
    expect(OllamaEmbed.parse(await answer.json()).embeddings).toEqual([[3, 1]]);
    // Of the other APIs none.
    expect((await send("/v1/embeddings")).status).toBe(415);
  },
);
