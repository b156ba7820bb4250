/**
 * What machines declare, and where code makes and takes it apart: by the text of the sources. A value is
 * known by its name together with its fields, so that equal names of different machines are told apart.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** One constructor of a variant: `| @as("lost") Lost({lease: lease, loss: loss})`. */
export interface Variant {
  /** As TypeScript has it. */
  kind: string;
  /** As ReScript has it. */
  name: string;
  fields: string[];
}

/** Constructors of the types of an interface file whose names `wanted` matches. */
export function variantsOf(interfaceFile: string, wanted: RegExp): Variant[] {
  const source = withoutComments(readFileSync(interfaceFile, "utf8"));
  const types = [
    ...source.matchAll(/^type (\w+) =([\s\S]*?)(?=^(?:@|type |let |module )|$(?![\s\S]))/gm),
  ];
  return types
    .filter(([, name]) => wanted.test(name!))
    .flatMap(([, , body]) =>
      [...body!.matchAll(/@as\("(\w+)"\)\s*(\w+)\(\{([^}]*)\}\)/g)].map(
        ([, kind, name, fields]) => ({
          kind: kind!,
          name: name!,
          fields: keysOf(fields!),
        }),
      ),
    );
}

export function sourcesIn(folder: string, ending: RegExp, but: readonly string[] = []): string[] {
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((name) => ending.test(name) && !but.includes(name))
    .map((name) => withoutComments(readFileSync(join(folder, name), "utf8")));
}

/** `{ kind: "lost", lease, loss }`, with just these fields, in a value and not in a type. */
export function isMadeInTypeScript({ kind, fields }: Variant, sources: readonly string[]): boolean {
  return objectsWithKind(sources).some(
    (object) => object.kinds.includes(kind) && isSame(object.fields, fields),
  );
}

/** `Lost({lease, loss})`, with just these fields, where it is no pattern. */
export function isMadeInReScript({ name, fields }: Variant, sources: readonly string[]): boolean {
  return sources.some((source) =>
    callsOf(name, withoutPatterns(source)).some((inner) => isSame(keysOf(inner), fields)),
  );
}

/** The fields that a `switch` in TypeScript takes out of it; undefined where none has a case for it. */
export function takenInTypeScript(
  { kind }: Variant,
  sources: readonly string[],
): Set<string> | undefined {
  const cases = sources.flatMap((source) => [
    ...source.matchAll(
      new RegExp(`case "${kind}":([\\s\\S]*?)(?=\\n\\s*(?:case "|default:)|\\n  \\})`, "g"),
    ),
  ]);
  if (cases.length === 0) return undefined;
  const inCases = cases.flatMap(([, body]) =>
    [...body!.matchAll(/\beffect\.(\w+)/g)].map(([, f]) => f!),
  );
  const handedOn = sources.flatMap((source) =>
    [
      ...source.matchAll(new RegExp(`\\{([^{}]*)\\}: Extract<[^>]*\\bkind: "${kind}" \\}>`, "g")),
    ].flatMap(([, inner]) => keysOf(inner!)),
  );
  return new Set([...inCases, ...handedOn]);
}

/** The same of a `switch` in ReScript. */
export function takenInReScript(
  { name, fields }: Variant,
  sources: readonly string[],
): Set<string> | undefined {
  const patterns = sources.flatMap((source) =>
    patternsOf(source).flatMap((text) => callsOf(name, text, true)),
  );
  const own = patterns.map(keysOf).filter((keys) => keys.every((key) => fields.includes(key)));
  return own.length === 0 ? undefined : new Set(own.flat());
}

function withoutComments(source: string): string {
  return source.replace(/\/\*[\s\S]*?\*\//g, "").replace(/(^|\s)\/\/[^\n]*/g, "$1");
}

function isSame(some: readonly string[], others: readonly string[]): boolean {
  return some.length === others.length && some.every((one) => others.includes(one));
}

/** Names before the colons, or alone, between the commas of this level. */
function keysOf(inner: string): string[] {
  return splitAtCommas(inner)
    .map((part) => /^\s*(\w+)\s*(?::|$)/.exec(part)?.[1])
    .filter((name) => name !== undefined && name !== "_") as string[];
}

function splitAtCommas(text: string): string[] {
  const parts: string[] = [];
  let depth = 0;
  let from = 0;
  for (let at = 0; at < text.length; at++) {
    if ("([{".includes(text[at]!)) depth++;
    else if (")]}".includes(text[at]!)) depth--;
    else if (text[at] === "," && depth === 0) {
      parts.push(text.slice(from, at));
      from = at + 1;
    }
  }
  return [...parts, text.slice(from)];
}

/** From an opening bracket to its end, without both. */
function insideOf(text: string, open: number): string {
  let depth = 0;
  for (let at = open; at < text.length; at++) {
    if ("([{".includes(text[at]!)) depth++;
    else if (")]}".includes(text[at]!) && --depth === 0) return text.slice(open + 1, at);
  }
  return text.slice(open + 1);
}

function objectsWithKind(sources: readonly string[]): { kinds: string[]; fields: string[] }[] {
  return sources.flatMap((source) => {
    const values = source.replace(/Extract<[^>]*>/g, "");
    return [...values.matchAll(/\{\s*kind:/g)].flatMap(({ index }) => {
      const inner = insideOf(values, index);
      const [first = "", ...rest] = splitAtCommas(inner);
      if (inner.includes(";")) return [];
      const kinds = [...first.matchAll(/"(\w+)"/g)].map(([, name]) => name!);
      return [{ kinds, fields: keysOf(rest.join(",")) }];
    });
  });
}

/** What stands in `Name({…})`; with `bare`, also in `Name(_)`, which is nothing. */
function callsOf(name: string, text: string, bare = false): string[] {
  const calls = [...text.matchAll(new RegExp(`(?<!\\w)${name}\\(\\{`, "g"))].map(
    ({ index, 0: head }) => insideOf(text, index + head.length - 1),
  );
  return bare && new RegExp(`(?<!\\w)${name}\\(_\\)`).test(text) ? [...calls, ""] : calls;
}

const pattern = /^\s*\|(?!>)(?:[^=]|=(?!>))*?(?:=>|(?=\n\s*\|)|(?=\n))/gm;

function patternsOf(source: string): string[] {
  return [...source.matchAll(pattern)].map(([text]) => text);
}

function withoutPatterns(source: string): string {
  return source.replace(pattern, "");
}

/** Fields of a message that code takes out of it, of those that it has; `named`: what code calls it. */
export function readOf(
  fields: readonly string[],
  named: readonly string[],
  sources: readonly string[],
): string[] {
  const names = named.join("|");
  return fields.filter((field) =>
    sources.some(
      (source) =>
        new RegExp(`\\b(?:${names})[?!]?\\.${field}\\b`).test(source) ||
        [...source.matchAll(new RegExp(`\\{([^{}]*)\\}\\s*=\\s*(?:${names})\\b`, "g"))].some(
          ([, inner]) => keysOf(inner!).includes(field),
        ) ||
        [...source.matchAll(/\{([^{}]*)\}: (?:Extract<FromWorker|Message<)/g)].some(([, inner]) =>
          keysOf(inner!).includes(field),
        ),
    ),
  );
}
