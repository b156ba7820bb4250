/**
 * The model that all simulated workers run: tokens and what they say as functions of prompt and seed, so that
 * anybody can say what an undisturbed answer is. Some tokens hold their text back until the next one,
 * as real detokenizers do. How a turn is made of them is in `turns.ts`.
 */
import { mix } from "./random.js";
import { type ExpectedItem, itemsOf, newItem } from "./turn-items.js";
import { saidAtEnd, saidBy, turnTokenAt } from "./turns.js";

/** Ends a text; has none itself. */
export const endToken = 7;

/** What is asked of the model. `isTurn`: with tools, it may reason and call. */
export interface Question {
  prompt: readonly number[];
  seed: number;
  isTurn: boolean;
}

export interface Answer {
  tokens: readonly number[];
  /** Of its messages. */
  text: string;
  items: readonly ExpectedItem[];
  reasoningTokens: number;
  finish: "stop" | "length" | "toolCalls";
}

export function promptTokensOf(prompt: string): number[] {
  return [1, ...Array.from(prompt, (character) => character.codePointAt(0)!)];
}

/** Index of the end token in an answer that nobody cuts short. */
function naturalLength(key: number): number {
  return key % 14;
}

export function tokenAt({ prompt, seed, isTurn }: Question, index: number): number {
  const key = prompt.reduce(mix, 0x1234_5678);
  if (index >= naturalLength(key)) return endToken;
  const drawn = mix(mix(key, seed), index) % 500;
  return isTurn ? turnTokenAt(key, index, drawn) : 1_000 + drawn;
}

/** What is wanted of it. */
export interface Asked {
  prompt: string;
  seed: number;
  maxTokens: number;
  tools: boolean;
}

const answers = new Map<string, Answer>();

/** Asked for after every event of a life, so that it is thought out once. */
export function answerTo({ prompt, seed, maxTokens, tools }: Asked): Answer {
  const key = `${seed}/${maxTokens}/${tools}/${prompt}`;
  const known = answers.get(key);
  if (known !== undefined) return known;
  const question = { prompt: promptTokensOf(prompt), seed, isTurn: tools };
  const answer = newAnswer(question, maxTokens);
  answers.set(key, answer);
  return answer;
}

function newAnswer(question: Question, maxTokens: number): Answer {
  const tokens: number[] = [];
  while (tokens.length < maxTokens && tokens.at(-1) !== endToken)
    tokens.push(tokenAt(question, tokens.length));
  const said = tokens.map((_, index) => saidBy(tokens, index));
  const spoken = itemsOf([...said.flat(), ...saidAtEnd(tokens)]);
  // An answer without a word has one empty message all the same.
  const items = spoken.length > 0 || maxTokens === 0 ? spoken : [newItem("message")];
  const messages = items.filter(({ kind }) => kind === "message");
  const isWhole = maxTokens === 0 || tokens.at(-1) === endToken;
  const called = items.some(({ isComplete }) => isComplete);
  return {
    tokens,
    text: messages.map(({ text }) => text).join(""),
    items,
    reasoningTokens: said.filter((pieces) => pieces.some(([kind]) => kind === "reasoning")).length,
    finish: isWhole ? (called ? "toolCalls" : "stop") : "length",
  };
}
