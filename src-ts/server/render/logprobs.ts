/** Log probabilities as each API shows them: what tokens are called, and where their text begins. */
import type { CompletionLogprobs } from "../../protocol/completions.js";
import type { OutputLogprob } from "../../protocol/responses.js";
import type { ReadLogprob, TokenLogprob } from "../../worker/messages.js";
import { TextPlaces } from "./text-places.js";

/** JSON has no infinity; this is OpenAI's number for "will not happen". */
const unlikely = -9999;
/** OpenAI's mark of a token in completions that is no whole characters. */
const bytesMark = "bytes:";

type Likely = Pick<TokenLogprob, "token" | "bytes" | "logprob">;
type Named = Pick<Likely, "token" | "bytes">;

function finite(logprob: number): number {
  return Number.isFinite(logprob) ? logprob : unlikely;
}

/** A token whose bytes are not whole characters: its text has other bytes. */
function isPartial({ token, bytes }: Named): boolean {
  if (bytes.length === 0 || !token.includes("\ufffd")) return false;
  return !Buffer.from(token).equals(Buffer.from(bytes));
}

/** Printable ASCII as it is, all else as `\xf0`: different bytes, different names. */
function escaped(bytes: readonly number[]): string {
  return bytes.map(escapedByte).join("");
}

function escapedByte(byte: number): string {
  const isPrintable = byte >= 0x20 && byte < 0x7f;
  if (!isPrintable) return `\\x${byte.toString(16).padStart(2, "0")}`;
  return byte === 0x5c ? "\\\\" : String.fromCharCode(byte);
}

function chatName(likely: Likely): string {
  return isPartial(likely) ? escaped(likely.bytes) : likely.token;
}

function completionName(likely: Named): string {
  return isPartial(likely) ? `${bytesMark}${escaped(likely.bytes)}` : likely.token;
}

/** The shape that chat and Responses share. */
export function tokenLogprobs(logprobs: readonly TokenLogprob[]): OutputLogprob[] {
  return logprobs.map((drawn) => ({
    ...chatLikely(drawn),
    top_logprobs: drawn.top.map(chatLikely),
  }));
}

function chatLikely(likely: Likely) {
  const { bytes, logprob } = likely;
  return { token: chatName(likely), bytes, logprob: finite(logprob) };
}

/** The likeliest, and the drawn token: under its name, with its value. */
function likeliest(drawn: TokenLogprob): Record<string, number> {
  const name = completionName(drawn);
  const own = drawn.top.findIndex((likely) => isSame(likely, drawn));
  const named = new Map<string, number>();
  drawn.top.forEach((likely, index) => {
    let key = completionName(likely);
    // Tokens may share a text: a byte and a letter, two control tokens. None may push another out.
    while (index !== own && (key === name || named.has(key))) key = bytesMark + key;
    named.set(key, finite(likely.logprob));
  });
  if (own < 0) named.set(name, finite(drawn.logprob));
  return Object.fromEntries(named);
}

function isSame(likely: Likely, drawn: Likely): boolean {
  return (
    likely.token === drawn.token &&
    likely.logprob === drawn.logprob &&
    likely.bytes.length === drawn.bytes.length &&
    likely.bytes.every((byte, index) => byte === drawn.bytes[index])
  );
}

/** The parallel lists of the completions API. `placeOf`: where the next one's text begins. */
function lists(
  logprobs: readonly ReadLogprob[],
  placeOf: (bytes: readonly number[]) => number,
): CompletionLogprobs {
  return {
    tokens: logprobs.map(completionName),
    token_logprobs: logprobs.map(({ logprob }) => (logprob === null ? null : finite(logprob))),
    top_logprobs: logprobs.map((one) =>
      one.logprob === null ? null : likeliest({ ...one, logprob: one.logprob }),
    ),
    text_offset: logprobs.map(({ bytes }) => placeOf(bytes)),
  };
}

/** Of a whole choice. */
export function completionLogprobs(
  logprobs: readonly ReadLogprob[],
  text: string,
): CompletionLogprobs {
  const places = new TextPlaces();
  const length = charactersIn(text);
  // A stop string may have cut off the text of the last ones.
  return lists(logprobs, (bytes) => Math.min(places.next(bytes), length));
}

/**
 * Of a choice that comes in parts. A token is shown with the part in which its text begins, so that no
 * offset points past the text: what is held back may never come.
 */
export class CompletionLogprobStream {
  private readonly places = new TextPlaces();
  private waiting: { logprob: ReadLogprob; place: number }[] = [];
  /** Characters of the choice's text so far. */
  private length = 0;

  /** Those whose text begins in what has come; undefined: none. */
  take(text: string, logprobs: readonly ReadLogprob[] = []): CompletionLogprobs | undefined {
    for (const logprob of logprobs)
      this.waiting.push({ logprob, place: this.places.next(logprob.bytes) });
    this.length += charactersIn(text);
    const held = this.waiting.findIndex(({ place }) => place >= this.length);
    return this.shown(held < 0 ? this.waiting.length : held);
  }

  /** The rest: tokens without text, and those whose text a stop string has cut off. */
  end(): CompletionLogprobs | undefined {
    return this.shown(this.waiting.length);
  }

  private shown(count: number): CompletionLogprobs | undefined {
    if (count === 0) return undefined;
    const shown = this.waiting.splice(0, count);
    const places = shown.map(({ place }) => Math.min(place, this.length)).values();
    return lists(
      shown.map(({ logprob }) => logprob),
      () => places.next().value!,
    );
  }
}

function charactersIn(text: string): number {
  let count = 0;
  for (const _ of text) count += 1;
  return count;
}
