/** What a model may call, as Anthropic's API offers it: said as the Responses API says it, field by field. */
import type { AnthropicCountBody } from "../../protocol/anthropic.js";
import type { ResponseTooling } from "../../protocol/tools.js";
import type { ToolOffer } from "../../worker/messages.js";
import { responseTools } from "./tools.js";

type Tooling = Pick<AnthropicCountBody, "tools" | "tool_choice">;

/** Undefined: none. Throws 400 where names clash or a choice means nothing. */
export function anthropicTools({ tools, tool_choice: choice }: Tooling): ToolOffer | undefined {
  const isSerial = choice != null && choice.type !== "none" && choice.disable_parallel_tool_use;
  return responseTools({
    tools: tools?.map((tool) => tool && functionOf(tool)),
    tool_choice: choice && choiceOf(choice),
    parallel_tool_calls: !isSerial,
  });
}

function functionOf({
  name,
  description,
  input_schema: parameters,
}: NonNullable<NonNullable<Tooling["tools"]>[number]>) {
  return { type: "function", name, description, parameters } as const;
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
