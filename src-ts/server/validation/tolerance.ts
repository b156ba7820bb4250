/**
 * What of a body is not followed: hints, and fields that nobody here knows. Owns how they are found and
 * named, and that `--strict` refuses them. Which field is a hint, the schemas say.
 */

import type { FastifyReply } from "fastify";
import type { z } from "zod";
import type { ServingError } from "../../errors.js";
import { failure } from "../../failures.js";
import { RepeatedHint } from "../../protocol/fields.js";
import { ignoredFieldsMax } from "../../protocol/limits.js";
import type { ServerConfig, ServerLogger } from "../options.js";
import { shownInList } from "./shown.js";
import { paramOf, validate } from "./validate.js";

export const ignoredHeader = "x-mlx-serving-ignored";

export interface Tolerated<T> {
  body: T;
  /** Names of what is not followed, each once; see `nameOf`. */
  ignored: readonly string[];
}

/** Throws 400 with `param` for what is wrong and, if `strict`, for what would be ignored. */
export function tolerate<T extends z.ZodType>(
  schema: T,
  value: unknown,
  strict: boolean,
): Tolerated<z.output<T>> {
  const body = validate(schema, value);
  const found = new Ignored(strict, strict ? fieldsOf(schema) : []);
  found.compare(value, body);
  return { body, ignored: found.names };
}

/** The same over HTTP: the answer's header and the log say what was ignored. */
export function tolerateBody<T extends z.ZodType>(
  { config, logger }: { config: ServerConfig; logger: ServerLogger },
  schema: T,
  value: unknown,
  reply: FastifyReply,
): z.output<T> {
  const { body, ignored } = tolerate(schema, value, config.strict);
  if (ignored.length > 0) alsoIgnored({ logger }, reply, ignored);
  return body;
}

/**
 * Of a request whose body is read: what takes the names of more that is not followed. Undefined if that is
 * refused.
 */
export function dropOf(
  { config, logger }: { config: ServerConfig; logger: ServerLogger },
  reply: FastifyReply,
): ((param: string) => void) | undefined {
  return config.strict ? undefined : (param) => alsoIgnored({ logger }, reply, [param]);
}

/** More is ignored than could be seen before. The header is set again. */
export function alsoIgnored(
  { logger }: { logger: ServerLogger },
  reply: FastifyReply,
  params: readonly string[],
): void {
  logger.debug({ ignored: params, requestId: reply.request.id }, "fields ignored");
  const before = reply.getHeader(ignoredHeader);
  const known: readonly string[] = typeof before === "string" ? before.split(", ") : [];
  reply.header(ignoredHeader, params.reduce(withName, known).join(", "));
}

/** As a list of names has it, which has an end. */
export function withName(names: readonly string[], param: string): readonly string[] {
  if (names.includes(param) || names.at(-1) === more) return names;
  return names.length < ignoredFieldsMax ? [...names, param] : [...names, more];
}

/** In the last place of a list of names: there are more. */
const more = "...";

/** A parsed body lacks what its schema doesn't know, and has nothing where a hint said something. */
class Ignored {
  private readonly found = new Set<string>();
  private readonly path: PropertyKey[] = [];
  private isCut = false;

  /** `fields`: those that the body may have, for a question about one that is unknown. */
  constructor(
    private readonly strict: boolean,
    private readonly fields: readonly string[],
  ) {}

  get names(): readonly string[] {
    return this.isCut ? [...this.found, more] : [...this.found];
  }

  compare(given: unknown, taken: unknown): void {
    if (given === taken || !isObject(given) || !isObject(taken)) return;
    if (!Array.isArray(given)) this.compareFields(given, taken);
    else if (Array.isArray(taken)) this.compareElements(given, taken);
  }

  private compareElements(given: readonly unknown[], taken: readonly unknown[]): void {
    for (let i = 0; i < given.length; i++) {
      this.path.push(i);
      if (taken[i] === undefined) this.note(true);
      else this.compare(given[i], taken[i]);
      this.path.pop();
    }
  }

  private compareFields(given: Fields, taken: Fields): void {
    for (const key of Object.keys(given)) {
      this.path.push(key);
      const isKnown = Object.hasOwn(taken, key);
      if (!isKnown) this.noteUnknown(given[key]);
      else if (taken[key] === undefined || taken[key] instanceof RepeatedHint) this.note(true);
      else this.compare(given[key], taken[key]);
      this.path.pop();
    }
  }

  /** Null says nothing, but its name is unknown all the same. */
  private noteUnknown(value: unknown): void {
    if (this.strict || value !== null) this.note(false);
  }

  private note(isHint: boolean): void {
    if (this.strict) throw refusal(this.path, isHint, this.fields);
    const name = nameOf(this.path);
    if (this.found.size < ignoredFieldsMax) this.found.add(name);
    else if (!this.found.has(name)) this.isCut = true;
  }
}

type Fields = Readonly<Record<string, unknown>>;

function isObject(value: unknown): value is Fields {
  return typeof value === "object" && value !== null;
}

/** Of a body's schema, whatever is checked or changed after it. */
function fieldsOf(schema: z.core.$ZodType): readonly string[] {
  const { def } = schema._zod as { def: { in?: z.core.$ZodType; shape?: object } };
  if (def.shape !== undefined) return Object.keys(def.shape);
  return def.in === undefined ? [] : fieldsOf(def.in);
}

function refusal(
  path: readonly PropertyKey[],
  isHint: boolean,
  fields: readonly string[],
): ServingError {
  const param = paramOf(path);
  if (!isHint) return failure("unknown_parameter", { param, known: path.length > 1 ? [] : fields });
  const message = `${param} is a hint that this server can't follow, and it is strict (--strict).`;
  return failure("unsupported_parameter", { message, param });
}

/**
 * `messages[].reasoning_content`: the field, wherever in a list; what stands in a list itself goes by
 * the list's name.
 */
function nameOf(path: readonly PropertyKey[]): string {
  const end = typeof path.at(-1) === "number" ? -1 : path.length;
  return path
    .slice(0, end)
    .map((step, index) => {
      if (typeof step === "number") return "[]";
      const key = shownInList(String(step));
      return index === 0 ? key : `.${key}`;
    })
    .join("");
}
