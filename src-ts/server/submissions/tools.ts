/**
 * What a model may call, from the fields of a body: namespaces are expanded, what isn't allowed is left out, and
 * what is forced is there. Throws 400 where names clash or a choice means nothing.
 */
import {
  type ChatTool,
  type ChatTooling,
  nameIn,
  type RepeatedToolChoice,
  type ResponseTool,
  type ResponseTooling,
} from "../../protocol/tools.js";
import type { Tool, ToolOffer } from "../../worker/messages.js";
import { paramOf } from "../validation/validate.js";
import { conflict } from "./conflict.js";
import { type Bound, type Drop, keptTools } from "./kept-tools.js";
import type { Path } from "./schemas/refusal.js";

/** `param`: the field that names it. */
interface Named {
  name: string;
  param: string;
}

type Offered = Named & Bound;

/** Of a submission: what may be called, and how the body calls what of it is to blame. */
export interface Tooling {
  offer?: ToolOffer | undefined;
  toolField?: (pointer: string) => string | undefined;
}

/** `named`: the one that must be called; `allowed`: those that may be. */
type Choice =
  | { kind: "mode"; mode: "none" | "auto" | "required" }
  | { kind: "named"; named: Named }
  | { kind: "allowed"; mode: "auto" | "required"; allowed: readonly Named[] };

/** `drop`: see `keptTools`. */
export function chatTools(body: ChatTooling, drop?: Drop): Tooling {
  const { tools, functions } = body;
  if ((tools ?? []).length > 0 && (functions ?? []).length > 0)
    throw conflict("functions", "functions is what tools were called before; send one of them.");
  const isLegacy = (functions ?? []).length > 0;
  const offered = isLegacy
    ? functions!.map((one, i) => functionOf(one, ["functions", i]))
    : (tools ?? []).flatMap((tool, i) => (tool === undefined ? [] : chatTool(tool, ["tools", i])));
  const choice = isLegacy ? legacyChoice(body) : chatChoice(body);
  const parallel = !isLegacy && (body.parallel_tool_calls ?? true);
  return toolingOf(offered, choice, parallel, drop);
}

/** `parameters`: what the body calls the schema of a function's arguments. */
export function responseTools(
  body: ResponseTooling,
  drop?: Drop,
  parameters = "parameters",
): Tooling {
  const offered = (body.tools ?? []).flatMap((tool, index) =>
    tool === undefined ? [] : responseTool(tool, ["tools", index], parameters),
  );
  const choice = responseChoice(body.tool_choice);
  return toolingOf(offered, choice, body.parallel_tool_calls ?? true, drop);
}

/** As the object of a response shows them. */
export function repeatedTools(tools: ResponseTooling["tools"]): ResponseTool[] {
  return (tools ?? []).flatMap((tool) => (tool === undefined ? [] : [repeatedTool(tool)]));
}

export function repeatedChoice(choice: ResponseTooling["tool_choice"]): RepeatedToolChoice {
  if (choice == null) return "auto";
  if (typeof choice === "string" || choice.type !== "allowed_tools") return choice;
  return { ...choice, tools: choice.tools.filter((tool) => tool !== undefined) };
}

type Own<T extends ResponseTool["type"]> = Extract<ResponseTool, { type: T }>;

/** What was left out is null, as Open Responses has it. */
function repeatedTool(tool: ResponseTool): ResponseTool {
  switch (tool.type) {
    case "function":
      return repeatedFunction(tool);
    case "custom":
      return repeatedCustom(tool);
    case "namespace": {
      const { description, tools } = tool;
      const inside = tools.map((one) =>
        one.type === "function" ? repeatedFunction(one) : repeatedCustom(one),
      );
      return { ...tool, description: description ?? "", tools: inside };
    }
  }
}

function repeatedFunction(tool: Own<"function">): Own<"function"> {
  const { description, parameters, strict } = tool;
  return {
    ...tool,
    description: description ?? null,
    parameters: parameters ?? null,
    strict: strict ?? null,
  };
}

function repeatedCustom({ description, format, ...tool }: Own<"custom">): Own<"custom"> {
  return { ...tool, description: description ?? "", format: format ?? { type: "text" } };
}

function toolingOf(
  offered: readonly Offered[],
  choice: Choice,
  parallel: boolean,
  drop: Drop | undefined,
): Tooling {
  checkNames(offered);
  const allowed = allowedOf(offered, choice);
  if (choice.kind === "named") checkThere(offered, choice.named);
  else if (choice.mode === "required" && allowed.length === 0)
    throw conflict("tool_choice", "tool_choice needs a tool that can be called.");
  if (allowed.length === 0) return {};
  const tools = toolsOf(allowed, choice, drop);
  const chosen = choice.kind === "named" ? { name: choice.named.name } : choice.mode;
  return { offer: { tools, choice: chosen, parallel }, toolField: fieldsOf(allowed) };
}

/** Those that can be called are kept to their schemas; others are only shown. */
function toolsOf(allowed: readonly Offered[], choice: Choice, drop: Drop | undefined): Tool[] {
  if (choice.kind !== "named") {
    if (choice.mode === "none") return allowed.map(({ tool }) => tool);
    return keptTools(allowed, choice.mode === "required", drop);
  }
  const { name } = choice.named;
  return allowed.map((one) => (one.name === name ? keptTools([one], true, drop)[0]! : one.tool));
}

function fieldsOf(offered: readonly Offered[]): (pointer: string) => string | undefined {
  return (pointer) => {
    const [name, ...steps] = pointer
      .split("/")
      .map((step) => step.replaceAll("~1", "/").replaceAll("~0", "~"));
    const found = offered.find((one) => one.name === name);
    if (found === undefined) return undefined;
    // Of a tool that takes one text, the body has one place alone that binds it.
    return paramOf(found.tool.custom ? found.binds : [...found.binds, ...steps]);
  };
}

function checkNames(offered: readonly Named[]): void {
  const names = new Set<string>();
  for (const { name, param } of offered) {
    if (names.has(name)) throw conflict(param, `${param} is the name of another tool too.`);
    names.add(name);
  }
}

function checkThere(offered: readonly Named[], { name, param }: Named): void {
  if (!offered.some((one) => one.name === name))
    throw conflict(param, `${param} is no name of a tool that this request offers.`);
}

function allowedOf(offered: readonly Offered[], choice: Choice): readonly Offered[] {
  if (choice.kind !== "allowed") return offered;
  for (const one of choice.allowed) checkThere(offered, one);
  const names = new Set(choice.allowed.map(({ name }) => name));
  return offered.filter(({ name }) => names.has(name));
}

// Chat

function chatTool(tool: ChatTool, at: Path): Offered[] {
  if (tool.type === "function") return [functionOf(tool.function, [...at, "function"])];
  const { format, ...custom } = tool.custom;
  const grammar = format?.type === "grammar" ? format.grammar : undefined;
  const place = [...at, "custom"];
  const binds = [...place, "format", "grammar", "definition"];
  return [customOf({ ...custom, grammar }, place, binds)];
}

function chatChoice({ tool_choice: choice }: ChatTooling): Choice {
  if (choice == null || typeof choice === "string") return modeOf(choice);
  const at = "tool_choice";
  if (choice.type !== "allowed_tools") return { kind: "named", named: chatNamed(choice, at) };
  const { mode, tools } = choice.allowed_tools;
  const allowed = tools.flatMap((tool, index) =>
    tool === undefined ? [] : chatNamed(tool, `${at}.allowed_tools.tools[${index}]`),
  );
  return { kind: "allowed", mode, allowed };
}

type ChatNamed =
  | { type: "function"; function: { name: string } }
  | { type: "custom"; custom: { name: string } };

function chatNamed(choice: ChatNamed, at: string): Named {
  const { name } = choice.type === "function" ? choice.function : choice.custom;
  return { name, param: `${at}.${choice.type}.name` };
}

function legacyChoice({ function_call: choice }: ChatTooling): Choice {
  if (choice == null || typeof choice === "string") return modeOf(choice);
  return { kind: "named", named: { name: choice.name, param: "function_call.name" } };
}

function modeOf(mode: "none" | "auto" | "required" | null | undefined): Choice {
  return { kind: "mode", mode: mode ?? "auto" };
}

// Responses

function responseTool(tool: ResponseTool, at: Path, parameters: string): Offered[] {
  if (tool.type !== "namespace") return [ownTool(tool, at, parameters)];
  const { name: namespace, description } = tool;
  return tool.tools.map((one, index) => {
    const whole = [description, one.description].filter((text) => text != null && text !== "");
    const name = nameIn(namespace, one.name);
    const inside = { ...one, name, description: whole.join("\n") };
    return ownTool(inside, [...at, "tools", index], parameters);
  });
}

function ownTool(tool: Own<"function"> | Own<"custom">, at: Path, parametersName: string): Offered {
  if (tool.type === "function") return functionOf(tool, at, parametersName);
  const grammar = tool.format?.type === "grammar" ? tool.format : undefined;
  return customOf({ ...tool, grammar }, at, [...at, "format", "definition"]);
}

function responseChoice(choice: ResponseTooling["tool_choice"]): Choice {
  if (choice == null || typeof choice === "string") return modeOf(choice);
  const at = "tool_choice";
  if (choice.type !== "allowed_tools")
    return {
      kind: "named",
      named: { name: nameIn(choice.namespace, choice.name), param: `${at}.name` },
    };
  const allowed = choice.tools.flatMap((tool, index) =>
    tool === undefined
      ? []
      : [{ name: nameIn(tool.namespace, tool.name), param: `${at}.tools[${index}].name` }],
  );
  return { kind: "allowed", mode: choice.mode, allowed };
}

// Both

function functionOf(
  {
    name,
    description,
    parameters,
    strict,
  }: {
    name: string;
    description?: string | null | undefined;
    parameters?: Record<string, unknown> | null | undefined;
    strict?: boolean | null | undefined;
  },
  at: Path,
  parametersName = "parameters",
): Offered {
  const tool = {
    name,
    description: description ?? "",
    parameters: parameters ?? {},
    custom: false,
  };
  const binds = [...at, parametersName];
  return { name, param: paramOf([...at, "name"]), tool, binds, isStrict: strict ?? false };
}

function customOf(
  {
    name,
    description,
    grammar,
  }: {
    name: string;
    description?: string | null | undefined;
    grammar: { syntax: "lark" | "regex"; definition: string } | undefined;
  },
  at: Path,
  binds: Path,
): Offered {
  const tool: Tool = { name, description: description ?? "", parameters: {}, custom: true };
  if (grammar?.syntax === "regex") tool.pattern = grammar.definition;
  if (grammar?.syntax === "lark") tool.lark = grammar.definition;
  return { name, param: paramOf([...at, "name"]), tool, binds, isStrict: true };
}
