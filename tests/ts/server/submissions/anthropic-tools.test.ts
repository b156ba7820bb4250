import { expect, it } from "vitest";
import { AnthropicCountBody } from "../../../../src-ts/protocol/anthropic.js";
import { anthropicTools } from "../../../../src-ts/server/submissions/anthropic-tools.js";

const messages = [{ role: "user", content: "Hi" }];
const input_schema = { type: "object", properties: { path: { type: "string" } } };
const look = { name: "look", description: "Looks", input_schema };
const search = { type: "web_search_20250305", name: "web_search", max_uses: 3 };
const offer = (fields: object) =>
  anthropicTools(AnthropicCountBody.parse({ messages, ...fields })).offer;

it("are offered with their schemas, and kept to what these name", () => {
  const none = { kept: '{"type":"object","properties":{},"additionalProperties":false}' };
  const other = { type: "custom", name: "other", input_schema: {}, cache_control: {} };
  expect(offer({ tools: [look, other] })).toEqual({
    tools: [
      {
        name: "look",
        description: "Looks",
        parameters: input_schema,
        custom: false,
        kept: JSON.stringify({ ...input_schema, additionalProperties: false }),
      },
      { ...none, name: "other", description: "", parameters: {}, custom: false },
    ],
    choice: "auto",
    parallel: true,
  });
});

it.each([
  {},
  { tools: null },
  { tools: [] },
  { tools: [search] },
  { tool_choice: { type: "none" } },
])("are none in %j", (fields) => {
  expect(offer(fields)).toBeUndefined();
});

it("that a host runs are not offered, and others are", () => {
  expect(offer({ tools: [search, look] })!.tools.map(({ name }) => name)).toEqual(["look"]);
});

it.each([
  [{ type: "auto" }, "auto", true],
  [{ type: "auto", disable_parallel_tool_use: true }, "auto", false],
  [{ type: "any" }, "required", true],
  [{ type: "any", disable_parallel_tool_use: true }, "required", false],
  [{ type: "tool", name: "look" }, { name: "look" }, true],
  [{ type: "tool", name: "look", disable_parallel_tool_use: true }, { name: "look" }, false],
  [{ type: "none" }, "none", true],
])("by %j are chosen", (tool_choice, choice, parallel) => {
  expect(offer({ tools: [look], tool_choice })).toMatchObject({ choice, parallel });
});

it.each([
  [{ tools: [look, look] }, "tools[1].name"],
  [{ tools: [look], tool_choice: { type: "tool", name: "other" } }, "tool_choice.name"],
  [{ tools: [search], tool_choice: { type: "tool", name: "web_search" } }, "tool_choice.name"],
  [{ tools: [search], tool_choice: { type: "any" } }, "tool_choice"],
  [{ tool_choice: { type: "tool", name: "look" } }, "tool_choice.name"],
])("of %j blame a field", (fields, param) => {
  expect(() => offer(fields)).toThrow(
    expect.objectContaining({ code: "invalid_value", status: 400, param }),
  );
});
