/** Log probabilities as each API shows them. */
import type { CompletionLogprobs } from "../../protocol/completions.js";
import type { OutputLogprob } from "../../protocol/responses.js";
import type { TokenLogprob } from "../../worker/messages.js";

/** JSON has no infinity; this is OpenAI's number for "will not happen". */
const unlikely = -9999;

function finite(logprob: number): number {
  return Number.isFinite(logprob) ? logprob : unlikely;
}

/** The shape that chat and Responses share. */
export function tokenLogprobs(logprobs: readonly TokenLogprob[]): OutputLogprob[] {
  return logprobs.map(({ token, bytes, logprob, top }) => ({
    token,
    bytes,
    logprob: finite(logprob),
    top_logprobs: top.map((other) => ({
      token: other.token,
      bytes: other.bytes,
      logprob: finite(other.logprob),
    })),
  }));
}

/** The parallel lists of the completions API. `offset`: UTF-16 units of text before the first. */
export function completionLogprobs(
  logprobs: readonly TokenLogprob[],
  offset: number,
): CompletionLogprobs {
  let at = offset;
  const offsets = logprobs.map(({ token }) => {
    const start = at;
    at += token.length;
    return start;
  });
  return {
    tokens: logprobs.map(({ token }) => token),
    token_logprobs: logprobs.map(({ logprob }) => finite(logprob)),
    top_logprobs: logprobs.map(({ top }) =>
      Object.fromEntries(top.map(({ token, logprob }) => [token, finite(logprob)])),
    ),
    text_offset: offsets,
  };
}
