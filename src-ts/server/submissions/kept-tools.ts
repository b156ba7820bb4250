/**
 * What the arguments of tools are kept to. A tool that must be called, or that says it is strict, is kept to all
 * of its schema, or refused by the place that can't be; of others what can't be enforced is left out and named,
 * if the caller takes that. Throws 400.
 */
import { toolPlacesDroppedMax } from "../../protocol/limits.js";
import type { Tool } from "../../worker/messages.js";
import { paramOf } from "../validation/validate.js";
import { checkRules, wholePattern } from "./constraint.js";
import { enforceable } from "./schemas/index.js";
import { loosened } from "./schemas/loosened.js";
import { isFields } from "./schemas/parts.js";
import { type Path, wrong } from "./schemas/refusal.js";

/** `binds`: where in the body stands what binds its arguments. */
export interface Bound {
  tool: Tool;
  binds: Path;
  isStrict: boolean;
}

/** Told of each place of a schema that is not enforced. */
export type Drop = (param: string) => void;

/** `drop` undefined: nothing may be left out. */
export function keptTools(
  tools: readonly Bound[],
  isForced: boolean,
  drop: Drop | undefined,
): Tool[] {
  let left = toolPlacesDroppedMax;
  return tools.map(({ tool, binds, isStrict }) => {
    if (tool.custom) return keptCustom(tool, binds);
    const schema = closed(ofObjects(tool.parameters, binds));
    if (isForced || isStrict || drop === undefined)
      return { ...tool, kept: enforceable(schema, binds) };
    const { text, dropped } = loosened(schema, binds, left);
    left -= dropped.length;
    for (const path of dropped) drop(paramOf(path));
    return { ...tool, kept: text, loose: true };
  });
}

/** Arguments are an object, whatever else the schema lets through. */
function ofObjects(parameters: Record<string, unknown>, path: Path): Record<string, unknown> {
  const { type = "object" } = parameters;
  if (type !== "object" && !(Array.isArray(type) && type.includes("object")))
    wrong([...path, "type"], 'must be "object": arguments are one');
  return { ...parameters, type: "object" };
}

/** Keywords beside which an object's own properties don't say all of it. */
const opening = [
  "additionalProperties",
  "patternProperties",
  "minProperties",
  ...["allOf", "anyOf", "oneOf", "$ref", "const", "enum"],
];

/** Arguments that a tool doesn't name are of no use to it: they are not written where it doesn't ask for them. */
function closed(schema: Record<string, unknown>): Record<string, unknown> {
  if (opening.some((keyword) => schema[keyword] !== undefined)) return schema;
  const { properties = {}, required = [] } = schema;
  if (!isFields(properties) || !Array.isArray(required)) return schema;
  const isWhole = required.every((name) => Object.hasOwn(properties, String(name)));
  return isWhole ? { ...schema, properties, additionalProperties: false } : schema;
}

/** Its one text. */
function keptCustom(tool: Tool, binds: Path): Tool {
  if (tool.lark !== undefined) checkRules(tool.lark, binds);
  if (tool.pattern === undefined) return tool;
  const input = { type: "string", pattern: `^(?:${wholePattern(tool.pattern, binds)})$` };
  const kept = {
    type: "object",
    properties: { input },
    required: ["input"],
    additionalProperties: false,
  };
  return { ...tool, kept: JSON.stringify(kept) };
}
