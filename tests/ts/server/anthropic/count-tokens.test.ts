import { expect, it } from "vitest";
import { ServingError } from "../../../../src-ts/errors.js";
import { AnthropicError, AnthropicTokenCount } from "../../../../src-ts/protocol/anthropic.js";
import { startServer } from "../../support/test-server.js";

const path = "/v1/messages/count_tokens";
const body = { messages: [{ role: "user", content: "Hi" }] };

it("counts a prompt as the engine does, and generates nothing", async () => {
  const { post, engine } = await startServer();
  const tools = [{ name: "look", input_schema: { type: "object" } }];
  const answer = await post(path, { ...body, system: "Be brief.", tools, model: "second" });
  expect(AnthropicTokenCount.parse(await answer.json())).toEqual({ input_tokens: 7 });
  const [{ input, model }] = engine.submissions as [(typeof engine.submissions)[number]];
  expect(model).toBe("second");
  expect(input).toMatchObject({
    messages: [{ role: "system", content: "Be brief." }, { role: "user" }],
    tools: { tools: [{ name: "look" }] },
  });
  expect(engine.runs).toEqual([]);
});

it("takes what begins an answer, and no limit of tokens is needed", async () => {
  const { post } = await startServer();
  const messages = [...body.messages, { role: "assistant", content: "{" }];
  const answer = await post(path, { messages, max_tokens: 5 });
  expect(answer.status).toBe(200);
  expect(answer.headers.get("x-mlx-serving-ignored")).toBe("max_tokens");
});

it("is refused as a message is", async () => {
  const { post, engine } = await startServer();
  const wrong = await post(path, { messages: [] });
  expect(AnthropicError.parse(await wrong.json()).error.param).toBe("messages");
  engine.refusal = new ServingError("none", { code: "no_worker", status: 503, param: "input" });
  const none = await post(path, body);
  expect(none.status).toBe(503);
  expect(AnthropicError.parse(await none.json()).error).toMatchObject({
    type: "overloaded_error",
    param: "messages",
  });
});
