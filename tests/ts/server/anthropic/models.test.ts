import { expect, it } from "vitest";
import {
  AnthropicError,
  AnthropicModel,
  AnthropicModelList,
} from "../../../../src-ts/protocol/anthropic.js";
import { ErrorResponse } from "../../../../src-ts/protocol/errors.js";
import { ModelList } from "../../../../src-ts/protocol/models.js";
import { startServer } from "../../support/test-server.js";

const headers = { "anthropic-version": "2023-06-01" };

it("are listed in the shape of whoever asks", async () => {
  const { get } = await startServer();
  const list = AnthropicModelList.parse(await (await get("/v1/models", { headers })).json());
  expect(list).toMatchObject({ has_more: false, first_id: "org/first", last_id: "second" });
  expect(list.data[0]).toEqual({
    type: "model",
    id: "org/first",
    display_name: "org/first",
    created_at: "2023-11-14T22:13:20.000Z",
  });
  const openAi = ModelList.parse(await (await get("/v1/models")).json());
  expect(openAi.data.map(({ id }) => id)).toEqual(list.data.map(({ id }) => id));
});

it("are found by their ids, slashes and all", async () => {
  const { get } = await startServer();
  for (const path of ["org/first", "org%2Ffirst"]) {
    const answer = await get(`/v1/models/${path}`, { headers });
    expect(AnthropicModel.parse(await answer.json()).id).toBe("org/first");
  }
});

it("are missed, or asked for without a key, in the same shape", async () => {
  const { get } = await startServer({ apiKeys: ["key"] });
  const key = { "x-api-key": "key" };
  const missing = await get("/v1/models/none", { headers: { ...headers, ...key } });
  expect(missing.status).toBe(404);
  expect(AnthropicError.parse(await missing.json()).error.type).toBe("not_found_error");
  const unknown = await get("/v1/models", { headers });
  expect(unknown.status).toBe(401);
  expect(AnthropicError.parse(await unknown.json()).error.type).toBe("authentication_error");
  ErrorResponse.parse(await (await get("/v1/models/none", { headers: key })).json());
});

it("tell pages which request it was", async () => {
  const { get } = await startServer();
  const origin = "http://localhost:3000";
  const answer = await get("/v1/models", { headers: { ...headers, origin } });
  expect(answer.headers.get("access-control-expose-headers")!.split(", ")).toContain("request-id");
  expect(answer.headers.get("request-id")).toBe(answer.headers.get("x-request-id"));
});
