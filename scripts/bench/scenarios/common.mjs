/** What scenarios are made of: texts of a known size, and figures out of records. */

/**
 * @typedef {{ id: string, title: string, unit: string, better: "more" | "less" }} Figure
 *
 * @typedef {{
 *   target: object,
 *   toolkit: import("../toolkit.mjs").Toolkit,
 *   round: number,
 *   url: string,
 *   signal: AbortSignal,
 *   peer: import("../peers/index.mjs").Peer,
 *   needs: Needs,
 *   kvBytes?: () => Promise<number | undefined>,
 * }} Context `target`: the server, as src-ts/bench/target.ts has it; `round`: from 1, so that each round has texts of its own;
 *   `kvBytes`: what the server's rows hold, where it tells.
 *
 * @typedef {{ rows: number, rowTokens: number, totalTokens?: number }} Needs Requests at a time, the tokens of
 *   the longest, and of all together where they differ much.
 *
 * @typedef {{ figures: Record<string, number | undefined>, records: object[], notes?: string[] }} Outcome
 *
 * @typedef {{
 *   id: string,
 *   title: string,
 *   light?: boolean,
 *   figures: Figure[],
 *   run: (context: Context) => Promise<Outcome>,
 * }} Case `light`: small enough for a server that takes a second a token.
 *
 * @typedef {"full" | "quick" | "tiny"} Size `tiny`: for tests.
 *
 * @typedef {{
 *   id: string,
 *   about: string,
 *   roundsDefault: number,
 *   startsServers?: boolean,
 *   needs: (size: Size) => Needs,
 *   cases: (size: Size) => Case[],
 * }} Scenario `startsServers`: its cases start and stop the server themselves.
 */

/** Rounds get texts of their own, and so do the parts of a round. */
const textsPerRound = 1_000_000;
const textsPerPart = 10_000;

/** What a chat template puts around one message, about. */
export const templateTokens = 30;

/**
 * Ends a prompt whose answer is to be as long as it may: to words alone a small model has little to say, and one
 * server's answer would end before another's.
 */
export const goOn = ". Write a very long story with all of these words.";

/** The number of a text that no other round, part or request has. */
export const textIndex = ({ round }, part = 0, index = 0) =>
  round * textsPerRound + part * textsPerPart + index;

/** A text that makes a prompt of about `tokens` tokens. */
export function promptOf(context, tokens, part, index) {
  const words = Math.max(1, tokens - templateTokens);
  return context.toolkit.syntheticPrompt(textIndex(context, part, index), words);
}

export const tokensPerSecond = {
  id: "tokens/s",
  title: "tokens/s",
  unit: "tokens/s",
  better: "more",
};

export const time = (id, title = id) => ({ id, title, unit: "ms", better: "less" });

/** Undefined where no text came. */
export const ttftOf = ({ arrivals, startedAt, failure }) =>
  failure === undefined && arrivals.length > 0 ? arrivals[0] - startedAt : undefined;

/** Tokens a second of all that a summary covers; undefined where the server counts none. */
export const rateOf = ({ succeeded, withoutUsage, tokensPerSecond }) =>
  succeeded > 0 && withoutUsage < succeeded ? tokensPerSecond : undefined;

/** Of a summary: TTFT and inter-token latency. */
export function latenciesOf({ ttftMs, interTokenMs }) {
  return {
    "TTFT p50": ttftMs?.p50,
    "TTFT p95": ttftMs?.p95,
    "TTFT p99": ttftMs?.p99,
    "inter-token p50": interTokenMs?.p50,
    "inter-token p99": interTokenMs?.p99,
  };
}

export const latencies = [
  ...["TTFT p50", "TTFT p95", "TTFT p99"],
  ...["inter-token p50", "inter-token p99"],
].map((id) => time(id));

/** Undefined where either is. */
export const quotient = (a, b) =>
  a === undefined || b === undefined || b <= 0 ? undefined : a / b;

/** Ends what runs beside a measurement. */
export function running(work) {
  const abort = new AbortController();
  const done = work(abort.signal);
  // Whoever stops it is told; until then it is no unhandled rejection.
  done.catch(() => {});
  return {
    async stop() {
      abort.abort();
      return done;
    },
  };
}

/** Sends one request after another until the signal; each gets the next text. */
export async function keepBusy(context, signal, makeRequest, records) {
  for (let index = 0; !signal.aborted; index++) {
    const record = await context.target.run({ ...makeRequest(index), signal });
    records.push(record);
    // A server that refuses at once must not be asked all the time.
    if (record.failure !== undefined && !signal.aborted)
      await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Records without those that were ended on purpose. */
export const finished = (records) => records.filter(({ failure }) => failure !== "aborted");
