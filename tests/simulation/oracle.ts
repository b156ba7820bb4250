/**
 * The model that all simulated workers run: tokens and text as functions of prompt and seed, so that
 * anybody can say what an undisturbed answer is. Some tokens hold their text back until the next one,
 * as real detokenizers do.
 */

/** Ends a text; has none itself. */
export const endToken = 7;

export interface Answer {
  tokens: readonly number[];
  text: string;
  finish: "stop" | "length";
}

function mix(a: number, b: number): number {
  let h = Math.imul(a ^ (b + 0x9e37_79b9 + (a << 6)), 0x85eb_ca6b);
  h ^= h >>> 13;
  return Math.imul(h, 0xc2b2_ae35) >>> 0;
}

export function promptTokensOf(prompt: string): number[] {
  return [1, ...Array.from(prompt, (character) => character.codePointAt(0)!)];
}

/** Index of the end token in an answer that nobody cuts short. */
function naturalLength(key: number): number {
  return key % 14;
}

export function tokenAt(prompt: readonly number[], seed: number, index: number): number {
  const key = prompt.reduce(mix, 0x1234_5678);
  if (index >= naturalLength(key)) return endToken;
  return 1_000 + (mix(mix(key, seed), index) % 500);
}

const isHeldBack = (token: number): boolean => token % 5 === 0;
const pieceOf = (token: number): string => (token === endToken ? "" : `${token} `);

/** Text that is certain after these tokens. */
export function certainText(tokens: readonly number[]): string {
  const last = tokens.at(-1);
  const held = last !== undefined && isHeldBack(last);
  return (held ? tokens.slice(0, -1) : tokens).map(pieceOf).join("");
}

/** All text, with what was held back. */
export function wholeText(tokens: readonly number[]): string {
  return tokens.map(pieceOf).join("");
}

export function answerTo(prompt: string, seed: number, maxTokens: number): Answer {
  const promptTokens = promptTokensOf(prompt);
  const tokens: number[] = [];
  while (tokens.length < maxTokens && tokens.at(-1) !== endToken)
    tokens.push(tokenAt(promptTokens, seed, tokens.length));
  const finish = maxTokens === 0 || tokens.at(-1) === endToken ? "stop" : "length";
  return { tokens, text: wholeText(tokens), finish };
}
