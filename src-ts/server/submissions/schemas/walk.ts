/**
 * A client's schema as a schema that a grammar keeps to the letter. Owns the walk: every keyword is enforced,
 * says nothing, or is refused by its path; where the library behind the grammars takes more than JSON Schema
 * allows (or writes what readers take for something else), it is given something narrower. Pure.
 */
import * as limits from "../../../protocol/limits.js";
import { arrayKeywords, objectKeywords } from "./collections.js";
import { areDisjoint } from "./disjoint.js";
import { applicators, asksForNothing, refused, type Type, types } from "./keywords.js";
import { isKeptExactly, numberBounds, numberKeywords } from "./numbers.js";
import { type Fields, hasControlCharacters, isFields, type Out } from "./parts.js";
import { References } from "./references.js";
import { type Path, unenforceable, wrong } from "./refusal.js";
import { stringKeywords } from "./strings.js";

export class Walk {
  readonly references: References;
  private schemas = 0;
  private values = 0;

  constructor(
    private readonly root: Fields,
    private readonly rootPath: Path,
  ) {
    this.references = new References(root, rootPath);
  }

  whole(): Record<string, unknown> {
    const root = this.schema(this.root, this.rootPath, 0);
    const $defs: Record<string, Out> = {};
    for (let next = this.references.take(); next !== undefined; next = this.references.take())
      $defs[next.name] = this.schema(next.schema, next.path, 0);
    // What true and false mean, as an object: options are put beside it.
    const whole = root === true ? {} : root === false ? { enum: [] } : root;
    return Object.keys($defs).length > 0 ? { ...whole, $defs } : whole;
  }

  /** `depth`: schemas around it. */
  schema(schema: unknown, path: Path, depth: number): Out {
    if (typeof schema === "boolean") return schema;
    if (!isFields(schema)) wrong(path, "must be a schema: an object, true or false");
    if (depth > limits.schemaDepthMax)
      wrong(path, `is nested deeper than ${limits.schemaDepthMax} schemas`);
    this.schemas++;
    if (this.schemas > limits.schemaPartsMax)
      wrong(this.rootPath, `must have at most ${limits.schemaPartsMax} schemas in it`);
    checkKeywords(schema, path, path.length === this.rootPath.length);
    return this.rewritten(schema, path, depth);
  }

  private rewritten(schema: Fields, path: Path, depth: number): Out {
    const kinds = typesOf(schema, path);
    const out: Record<string, unknown> = {};
    if (kinds !== undefined) out.type = kinds.length === 1 ? kinds[0] : kinds;
    const { allOf: others = [], ...plain } = this.plain(schema, kinds, path, depth);
    let isPlainOut = false;
    // The first of the plain keywords says where all of them stand among the applicators.
    for (const keyword of Object.keys(schema)) {
      if (applicators.has(keyword)) this.apply(out, keyword, schema[keyword], path, depth);
      else if (!isPlainOut && Object.hasOwn(plain, keyword)) {
        isPlainOut = true;
        Object.assign(out, plain);
      }
    }
    if (!isPlainOut) Object.assign(out, plain);
    if (others.length > 0) out.allOf = [...((out.allOf as Out[]) ?? []), ...others];
    return out;
  }

  private plain(
    schema: Fields,
    kinds: readonly Type[] | undefined,
    path: Path,
    depth: number,
  ): Record<string, unknown> & { allOf?: Out[] } {
    const may = (...wanted: Type[]) => kinds === undefined || wanted.some((t) => kinds.includes(t));
    const into = (child: unknown, ...steps: PropertyKey[]): Out =>
      this.schema(child, [...path, ...steps], depth + 1);
    return {
      ...(may("object") && objectKeywords(schema, path, into)),
      ...(may("array") && arrayKeywords(schema, path, into)),
      ...(may("string") && stringKeywords(schema, path)),
      ...(boundsNumbers(schema, kinds) &&
        numberBounds(schema, kinds !== undefined && !kinds.includes("number"), path)),
    };
  }

  private apply(
    out: Record<string, unknown>,
    keyword: string,
    value: unknown,
    path: Path,
    depth: number,
  ): void {
    const here = [...path, keyword];
    if (keyword === "$ref") {
      out.$ref = `#/$defs/${this.references.nameOf(value, here)}`;
    } else if (keyword === "const") {
      this.check(value, here);
      out.const = value;
    } else if (keyword === "enum") {
      out.enum = this.listed(value, here);
    } else {
      const parts = this.parts(value, here, depth);
      // Told apart, they are alternatives; the library knows fewer ways to tell.
      if (keyword === "oneOf") this.checkApart(value as unknown[], here);
      const all = (out.allOf as Out[]) ?? [];
      if (keyword === "allOf") out.allOf = [...all, ...parts];
      else if (out.anyOf === undefined) out.anyOf = parts;
      else out.allOf = [...all, { anyOf: parts }];
    }
  }

  private parts(value: unknown, path: Path, depth: number): Out[] {
    if (!Array.isArray(value) || value.length === 0) wrong(path, "must be a list of schemas");
    return value.map((part, index) => this.schema(part, [...path, index], depth + 1));
  }

  private checkApart(parts: readonly unknown[], path: Path): void {
    const resolve = (reference: unknown) => this.references.resolve(reference, path).schema;
    for (let i = 0; i < parts.length; i++)
      for (let j = i + 1; j < parts.length; j++)
        if (!areDisjoint(parts[i], parts[j], resolve))
          unenforceable(
            path,
            `its schemas ${i} and ${j} may both be true of one value; use anyOf, or a required property whose values tell them apart`,
          );
  }

  private listed(value: unknown, path: Path): unknown[] {
    if (!Array.isArray(value) || value.length === 0)
      wrong(path, "must be a list of values, and not empty");
    for (const [index, one] of value.entries()) this.check(one, [...path, index]);
    return value;
  }

  /** A value that is written as it is. `whole`: what it is a part of. */
  private check(value: unknown, path: Path, whole: Path = path): void {
    this.values++;
    if (this.values > limits.schemaValuesMax)
      wrong(this.rootPath, `must have at most ${limits.schemaValuesMax} values in const and enum`);
    if (typeof value === "number" && !isKeptExactly(value))
      unenforceable(path, "so large a number is not read exactly", whole);
    if (typeof value === "string" && hasControlCharacters(value))
      unenforceable(path, "control characters can't be written", whole);
    if (typeof value === "object" && value !== null)
      for (const [key, part] of Object.entries(value)) {
        if (hasControlCharacters(key))
          unenforceable(path, "control characters can't be written", whole);
        this.check(part, [...path, Array.isArray(value) ? Number(key) : key], whole);
      }
  }
}

const drafts = /^https?:\/\/json-schema\.org\/draft/;

function checkKeywords(schema: Fields, path: Path, isRoot: boolean): void {
  for (const [keyword, value] of Object.entries(schema)) {
    if (Object.hasOwn(refused, keyword) && !asksForNothing(keyword, value))
      unenforceable([...path, keyword], refused[keyword]!);
    if (keyword === "$schema" && !(typeof value === "string" && drafts.test(value)))
      unenforceable([...path, keyword], "only the drafts of json-schema.org are known");
    if (keyword === "$id" && !isRoot && typeof value === "string" && !value.startsWith("#"))
      unenforceable([...path, keyword], "a schema inside another can't have an address of its own");
  }
}

function typesOf(schema: Fields, path: Path): readonly Type[] | undefined {
  const { type } = schema;
  if (type === undefined) return undefined;
  const list: unknown[] = Array.isArray(type) ? type : [type];
  const isType = (one: unknown): one is Type => types.includes(one as Type);
  if (list.length === 0 || !list.every(isType))
    wrong([...path, "type"], `must be one or several of ${types.join(", ")}`);
  const kinds = [...new Set(list)];
  return kinds.includes("number") ? kinds.filter((kind) => kind !== "integer") : kinds;
}

function boundsNumbers(schema: Fields, kinds: readonly Type[] | undefined): boolean {
  if (kinds !== undefined) return kinds.includes("number") || kinds.includes("integer");
  return numberKeywords.some((keyword) => schema[keyword] !== undefined);
}
