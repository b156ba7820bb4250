/**
 * What the simulated model's tokens say: text of a message, reasoning, calls of tools. A token's number tells
 * its kind, so that what is said is a function of the tokens alone.
 */
import type { Piece, Said, Tool, ToolOffer } from "../../src-ts/worker/messages.js";

/** `nextCall` ends one call and begins another. */
const kinds = ["content", "reasoning", "call", "arguments", "callEnd", "nextCall"] as const;
type Kind = (typeof kinds)[number];

const kindOf = (token: number): Kind | undefined => kinds[Math.floor(token / 1_000) - 1];
const tokenOf = (kind: Kind, drawn: number): number => 1_000 * (kinds.indexOf(kind) + 1) + drawn;

/** What it may call; the second takes one text in place of arguments. */
export const tools: readonly Tool[] = [
  { name: "look", description: "", parameters: { type: "object" }, custom: false },
  { name: "note", description: "", parameters: {}, custom: true },
];

export const offer: ToolOffer = { tools: [...tools], choice: "auto", parallel: true };

/** The same, as a body names them. */
export const toolsOfBody = tools.map(({ name, parameters, custom }) =>
  custom ? { type: "custom", name } : { type: "function", name, parameters },
);

/** Reasoning, a message, then calls until it ends: some of each, or none, as `key` has it. */
export function turnTokenAt(key: number, index: number, drawn: number): number {
  const reasoning = (key >>> 4) % 4;
  const message = reasoning + ((key >>> 8) % 3);
  if (index < reasoning) return tokenOf("reasoning", drawn);
  if (index < message) return tokenOf("content", drawn);
  const callTokens = 3 + ((key >>> 12) % 3);
  const place = (index - message) % callTokens;
  const [first, last] = callBorders[(key >>> 15) % callBorders.length]!;
  if (place === 0) return tokenOf(index === message ? "call" : first, drawn);
  return tokenOf(place === callTokens - 1 ? last : "arguments", drawn);
}

/** How each further call begins, and how all of them end; one whose end is never said is broken off. */
const callBorders = [
  ["call", "callEnd"],
  ["call", "callEnd"],
  ["nextCall", "arguments"],
  ["call", "arguments"],
] as const satisfies [Kind, Kind][];

/** Its text comes with the next token, or with the end. */
function isHeldBack(token: number | undefined): boolean {
  if (token === undefined || token % 5 !== 0) return false;
  const kind = kindOf(token);
  return kind === "content" || kind === "reasoning" || kind === "arguments";
}

function beginning(token: number): Piece[] {
  return [
    ["call", tools[token % tools.length]!.name],
    ["arguments", "{"],
  ];
}

const end: readonly Piece[] = [
  ["arguments", "}"],
  ["callEnd", true],
];

/** All that a token says. */
function piecesOf(token: number): Piece[] {
  const kind = kindOf(token);
  switch (kind) {
    case undefined:
      return [];
    case "call":
      return beginning(token);
    case "callEnd":
      return [...end];
    case "nextCall":
      return [...end, ...beginning(token)];
    default:
      return [[kind, `${token} `]];
  }
}

/** What becomes certain with the token at this index. */
export function saidBy(tokens: readonly number[], index: number): Piece[] {
  const token = tokens[index]!;
  const before = tokens[index - 1];
  const late = isHeldBack(before) ? piecesOf(before!) : [];
  if (!isHeldBack(token)) return [...late, ...piecesOf(token)];
  return kindOf(token) === "reasoning" ? [...late, ["reasoning", ""]] : late;
}

/** What was held back when these are all. Whether a call that breaks off is told is the worker's affair. */
export function saidAtEnd(tokens: readonly number[]): Piece[] {
  const last = tokens.at(-1);
  const late = isHeldBack(last) ? piecesOf(last!) : [];
  const isTold = tokens.length % 2 === 0 && isInCall(tokens);
  return isTold ? [...late, ["callEnd", false]] : late;
}

/** As a worker puts it: text of the message alone is a string. */
export function saidOf(pieces: Piece[]): Said {
  if (pieces.length === 0) return "";
  return pieces.every(([kind]) => kind === "content")
    ? pieces.map(([, text]) => text).join("")
    : pieces;
}

function isInCall(tokens: readonly number[]): boolean {
  const last = tokens.findLast((token) => {
    const kind = kindOf(token);
    return kind === "call" || kind === "nextCall" || kind === "callEnd";
  });
  return last !== undefined && kindOf(last) !== "callEnd";
}

/** A call is complete. */
export function hasCalled(tokens: readonly number[]): boolean {
  return tokens.some((token) => kindOf(token) === "callEnd" || kindOf(token) === "nextCall");
}

/** Where a worker dies that is about to make a call, or has made it. */
export const callStages = ["call", "arguments", "callEnd", "end"] as const;
export type CallStage = (typeof callStages)[number];

/** How far the call is of which this was the last token; undefined: none was ever begun. */
export function callStageOf(tokens: readonly number[], endToken: number): CallStage | undefined {
  const last = tokens.at(-1)!;
  if (last === endToken)
    return tokens.some((token) => kindOf(token) === "call") ? "end" : undefined;
  const kind = kindOf(last);
  if (kind === "nextCall") return "call";
  return kind === "call" || kind === "arguments" || kind === "callEnd" ? kind : undefined;
}
