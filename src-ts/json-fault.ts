/**
 * Where a text stops being JSON, and what is wrong there, in one sentence. V8's own words differ from version to
 * version and quote the text, which may be somebody's prompt; here no content of a string is repeated, nor a word
 * that could be a key.
 */
import { createRequire } from "node:module";
import type { ParseErrorCode } from "jsonc-parser";

type Parser = typeof import("jsonc-parser");

/** Loaded at the first fault: most programs never need it. */
let parser: Parser | undefined;

function jsoncParser(): Parser {
  parser ??= createRequire(import.meta.url)("jsonc-parser") as Parser;
  return parser;
}

interface Place {
  error: ParseErrorCode;
  offset: number;
  length: number;
}

/** The first fault ends the pass over the text. */
class Found extends Error {
  constructor(readonly place: Place) {
    super();
  }
}

/** UTF-16 units. The parser takes a microsecond for ten of them where all are escapes; V8 knows most places as well. */
const searchedCharsMax = 2 ** 20;

/**
 * For a text and the error with which `JSON.parse` refuses it: `The file is not valid JSON: line 1, column 8: a value
 * is expected, not “}”.` Columns count UTF-16 units, as editors do.
 */
export function notJson(what: string, text: string, refusal: unknown): string {
  const fault = faultIn(text, refusal);
  return `${what} is not valid JSON${fault === undefined ? "" : `: ${fault}`}.`;
}

/** Undefined: it was not found. */
function faultIn(text: string, refusal: unknown): string | undefined {
  if (text.length > searchedCharsMax) return faultOfLongText(text, String(refusal));
  const fault = firstFault(text);
  return fault && `${placeIn(text, fault.offset)}: ${problemOf(text, fault)}`;
}

function faultOfLongText(text: string, refusal: string): string | undefined {
  if (/end of JSON|Unterminated string/.test(refusal)) return "it ends too early";
  const [, position] = /at position (\d+)/.exec(refusal) ?? [];
  return position && placeIn(text, Number(position));
}

function placeIn(text: string, offset: number): string {
  let line = 1;
  let start = 0;
  for (let at = text.indexOf("\n"); at >= 0 && at < offset; at = text.indexOf("\n", start)) {
    line++;
    start = at + 1;
  }
  return `line ${line}, column ${offset - start + 1}`;
}

function firstFault(text: string): Place | undefined {
  const onError = (error: ParseErrorCode, offset: number, length: number): never => {
    throw new Found({ error, offset, length });
  };
  try {
    jsoncParser().visit(text, { onError }, { disallowComments: true });
    return undefined;
  } catch (error) {
    if (error instanceof Found) return error.place;
    throw error;
  }
}

/** By the names of the parser's codes: its numbers are a const enum, which is not there at run time. */
const problems: Readonly<Record<string, string>> = {
  InvalidNumberFormat: "this is not a number as JSON has them",
  UnexpectedEndOfNumber: "a number ends too early",
  UnexpectedEndOfString:
    "the string that begins here does not end, or holds a line break not written as \\n",
  InvalidUnicode: "the string that begins here has a \\u without four hexadecimal digits",
  InvalidEscapeCharacter:
    "the string that begins here has a backslash that begins no escape of JSON's",
  InvalidCharacter: "the string that begins here has a control character that is not escaped",
  InvalidCommentToken: "JSON has no comments",
  UnexpectedEndOfComment: "JSON has no comments",
};

const expectations: Readonly<Record<string, string>> = {
  PropertyNameExpected: "a name in double quotes is expected",
  ValueExpected: "a value is expected",
  ColonExpected: "a colon is expected",
  CommaExpected: "a comma or the end of this list or object is expected",
  CloseBraceExpected: "a comma or } is expected",
  CloseBracketExpected: "a comma or ] is expected",
  EndOfFileExpected: "nothing more is expected behind the value",
};

function problemOf(text: string, { error, offset, length }: Place): string {
  const name = jsoncParser().printParseErrorCode(error);
  const found = shownToken(text, offset, length);
  if (name === "InvalidSymbol")
    return `JSON has no ${found} here; names and texts stand in double quotes`;
  const expected = expectations[name];
  if (expected === undefined) return problems[name] ?? "this is not JSON";
  return `${expected}, not ${found}${afterComma(text, offset)}`;
}

const shownCharsMax = 20;

/** A sign or a short word as it stands there; of anything else what it is. */
function shownToken(text: string, offset: number, length: number): string {
  const token = text.slice(offset, offset + Math.max(1, length));
  if (offset >= text.length) return "the end of the text";
  if (token.startsWith('"')) return "a string";
  if (/^-?\d/.test(token)) return "a number";
  const isShown = token.length <= shownCharsMax && /^([^\w\s"]|'?[A-Za-z]+'?)$/.test(token);
  return isShown ? `“${token}”` : "such word";
}

/** The commonest mistake of people. */
function afterComma(text: string, offset: number): string {
  const closes = text[offset] === "}" || text[offset] === "]";
  return closes && /,\s*$/.test(text.slice(Math.max(0, offset - 200), offset))
    ? "; the last one has no comma behind it"
    : "";
}
