/**
 * Tools as users define them, and as they go to the server. Whatever is wrong with one is said before anything
 * is sent. Who runs them is `run.ts`'s.
 */
import type { CreateResponseBody } from "../protocol/index.js";
import { DefinitionError, InvalidArgumentsError } from "./errors.js";
import {
  check,
  isStandardSchema,
  type JsonSchema,
  jsonSchemaOf,
  type Schema,
  type StandardSchema,
} from "./schemas.js";

/** What a function gets: what its schema lets through. */
export type ArgumentsOf<P> =
  P extends StandardSchema<infer Output> ? Output : Record<string, unknown>;

/** A function that the model may call. */
export interface FunctionDefinition<P = Schema> {
  type?: "function" | undefined;
  name: string;
  description?: string | null | undefined;
  /** Of an object: a schema of Zod or its like, or a JSON schema. None: the function has no arguments. */
  parameters?: P | null | undefined;
  strict?: boolean | null | undefined;
}

type Wire = NonNullable<CreateResponseBody["tools"]>[number];
type Typed<T extends string> = Extract<Wire, { type: T }>;

/** A tool whose input is text. */
export type CustomDefinition = Typed<"custom">;

/** Tools that belong together. */
export interface NamespaceDefinition {
  type: "namespace";
  name: string;
  description?: string | null | undefined;
  tools: readonly (FunctionDefinition | CustomDefinition)[];
}

/** Tools that hosts run, such as `web_search`: this server ignores them. */
export interface HostedDefinition {
  type: string;
}

type OwnDefinition = FunctionDefinition | CustomDefinition | NamespaceDefinition;
export type ToolDefinition = OwnDefinition | HostedDefinition;

/** What a tool gets beside its arguments. */
export interface ToolContext {
  /** Aborted when the run is, and when the tool's time is over. */
  signal: AbortSignal;
  callId: string;
  /** Of the answer that called it, from 1. */
  turn: number;
}

/** What becomes of it: text as it is, all else as JSON, nothing as an empty text. */
export type Execute<Arguments> = (args: Arguments, context: ToolContext) => unknown;

interface Runnable<Arguments> {
  execute: Execute<Arguments>;
  /** In place of the run's `toolTimeoutMs`. */
  timeoutMs?: number | undefined;
}

export interface RunnableFunction<P = Schema>
  extends FunctionDefinition<P>,
    Runnable<ArgumentsOf<P>> {}

export type RunnableCustom = CustomDefinition & Runnable<string>;

/**
 * Types one tool by its schema, for tools that are defined apart from the request.
 *
 * @example
 * const weather = tool({
 *   name: "weather",
 *   description: "The weather of a city",
 *   parameters: z.object({ city: z.string() }),
 *   execute: async ({ city }, { signal }) => (await fetch(`${url}?q=${city}`, { signal })).json(),
 * });
 */
export function tool<P extends Schema>(definition: RunnableFunction<P>): RunnableFunction<P> {
  return definition;
}

/** Throws DefinitionError, which names the tool and the field. */
export function wireTools(tools: readonly ToolDefinition[]): Wire[] {
  return wireList(tools, "tools") as Wire[];
}

function wireList(tools: readonly ToolDefinition[], param: string): object[] {
  const names = new Set<string>();
  return tools.map((one, index) => {
    const place = `${param}[${index}]`;
    if (!isOwn(one)) return one;
    checkName(one.name, names, `${place}.name`);
    if (one.type === "namespace") return { ...one, tools: wireList(one.tools, `${place}.tools`) };
    return wireTool(one, place);
  });
}

const ownTypes: readonly (string | undefined)[] = [undefined, "function", "custom", "namespace"];

function isOwn(one: ToolDefinition): one is OwnDefinition {
  return ownTypes.includes(one.type);
}

function checkName(name: unknown, names: Set<string>, param: string): void {
  if (typeof name !== "string" || name === "") {
    throw new DefinitionError(`${param}: the tool needs a name.`, param);
  }
  if (names.has(name)) {
    throw new DefinitionError(`${param}: another tool is named ${name} too.`, param);
  }
  names.add(name);
}

/** Without what stays here. */
function wireTool(one: FunctionDefinition | CustomDefinition, place: string): object {
  const { execute: _, timeoutMs: __, ...definition } = one as typeof one & Partial<Runnable<never>>;
  if (definition.type === "custom") return definition;
  const { parameters } = definition;
  if (parameters == null) return { ...definition, type: "function" };
  const param = `${place}.parameters`;
  const schema = jsonSchemaOf(parameters, `The parameters of ${one.name} (${param})`, param);
  checkObject(schema, one.name, param);
  return { ...definition, type: "function", parameters: schema };
}

function checkObject({ type }: JsonSchema, name: string, param: string): void {
  if (type === undefined || type === "object") return;
  const problem = `${param}: the parameters of ${name} must be an object's, not ${String(type)}.`;
  throw new DefinitionError(problem, param);
}

/**
 * The arguments of a call, checked by the tool's schema, where it is one of Zod or its like. Rejects with
 * InvalidArgumentsError. A call that is not complete has none.
 */
export async function argumentsOf<P>(
  { name, parameters }: Pick<FunctionDefinition<P>, "name" | "parameters">,
  call: { call_id: string; arguments: string },
): Promise<ArgumentsOf<P>> {
  const value = objectOf(call.arguments);
  if (value === undefined) {
    throw new InvalidArgumentsError(name, call.call_id, [{ message: "they are no JSON object" }]);
  }
  if (!isStandardSchema(parameters)) return value as ArgumentsOf<P>;
  const checked = await check(parameters, value);
  if (checked.issues) throw new InvalidArgumentsError(name, call.call_id, checked.issues);
  return checked.value as ArgumentsOf<P>;
}

/** Functions without parameters are called with nothing, too. */
function objectOf(text: string): object | undefined {
  if (text.trim() === "") return {};
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value) ? value : undefined;
  } catch {
    return undefined;
  }
}
