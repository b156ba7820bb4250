/** What a model may call, as Anthropic's API offers it: said as the Responses API says it, field by field. */
import type { AnthropicCountBody } from "../../protocol/anthropic.js";
import type { ResponseTooling } from "../../protocol/tools.js";
import type { Drop } from "./kept-tools.js";
import { type Tooling as Offered, responseTools } from "./tools.js";

type Tooling = Pick<AnthropicCountBody, "tools" | "tool_choice">;

/** Throws 400 where names clash or a choice means nothing. `drop`: see `keptTools`. */
export function anthropicTools({ tools, tool_choice: choice }: Tooling, drop?: Drop): Offered {
  const isSerial = choice != null && choice.type !== "none" && choice.disable_parallel_tool_use;
  const body = {
    tools: tools?.map((tool) => tool && functionOf(tool)),
    tool_choice: choice && choiceOf(choice),
    parallel_tool_calls: !isSerial,
  };
  return responseTools(body, drop, "input_schema");
}

function functionOf({
  name,
  description,
  input_schema: parameters,
  strict,
}: NonNullable<NonNullable<Tooling["tools"]>[number]>) {
  return { type: "function", name, description, parameters, strict } as const;
}

function choiceOf(choice: NonNullable<Tooling["tool_choice"]>): ResponseTooling["tool_choice"] {
  switch (choice.type) {
    case "auto":
    case "none":
      return choice.type;
    case "any":
      return "required";
    case "tool":
      return { type: "function", name: choice.name };
  }
}
