/**
 * What a model's turn consists of, as a worker tells it, put together: neighbours of one kind are one, so that
 * a step makes one delta of each. Knows no item and no number.
 */
import type { Piece, Said, StepRow, TokenLogprob } from "../../worker/messages.js";

/** `tokens`: how many tokens this text took. */
export interface Text {
  kind: "content" | "reasoning" | "arguments";
  text: string;
  tokens: number;
  logprobs: TokenLogprob[];
}

export type Utterance =
  | Text
  | { kind: "call"; name: string }
  | { kind: "callEnd"; complete: boolean };

/**
 * Tokens that a worker sent, with what they say. Of them, `reasoningTokens`: read inside of reasoning, and the
 * model's own; `forcedTokens`: not the model's own.
 */
export interface Arrived {
  tokens: number[];
  reasoningTokens: number;
  forcedTokens: number;
  utterances: Utterance[];
}

export function arrivedIn(rows: readonly StepRow[]): Arrived {
  const arrived: Arrived = { tokens: [], reasoningTokens: 0, forcedTokens: 0, utterances: [] };
  for (const row of rows) {
    // Every token passes here: by index, since taking an array apart by name asks for its iterator.
    const said = row[3];
    const logprob = row[4];
    arrived.tokens.push(row[2]);
    if (typeof said === "string") {
      const text = textIn(arrived.utterances, "content");
      text.text += said;
      text.tokens++;
      if (logprob) text.logprobs.push(logprob);
    } else takePieces(arrived, said, logprob);
  }
  return arrived;
}

/** What is said without a token: what was held back until the end. */
export function utterancesOf(said: Said): Utterance[] {
  const utterances: Utterance[] = [];
  if (typeof said === "string") textIn(utterances, "content").text += said;
  else for (const piece of said) takePiece(utterances, piece);
  return utterances;
}

/** The token counts where its first text goes; its probability is told with text of the message alone. */
function takePieces(
  arrived: Arrived,
  pieces: readonly Piece[],
  logprob: TokenLogprob | undefined,
): void {
  const { utterances } = arrived;
  let isCounted = false;
  if (pieces.some(([kind]) => kind === "forced")) arrived.forcedTokens++;
  else if (pieces.some(([kind]) => kind === "reasoning")) arrived.reasoningTokens++;
  for (const piece of pieces) {
    const text = takePiece(utterances, piece);
    if (text === undefined || isCounted) continue;
    isCounted = true;
    text.tokens++;
    if (logprob && text.kind === "content") text.logprobs.push(logprob);
  }
}

function takePiece(utterances: Utterance[], [kind, value]: Piece): Text | undefined {
  switch (kind) {
    case "call":
      utterances.push({ kind, name: value });
      return undefined;
    case "callEnd":
      utterances.push({ kind, complete: value });
      return undefined;
    case "forced":
      return undefined;
    default: {
      const text = textIn(utterances, kind);
      text.text += value;
      return text;
    }
  }
}

/** Where more text of this kind goes. */
function textIn(utterances: Utterance[], kind: Text["kind"]): Text {
  const last = utterances.at(-1);
  if (last?.kind === kind) return last;
  const text: Text = { kind, text: "", tokens: 0, logprobs: [] };
  utterances.push(text);
  return text;
}
