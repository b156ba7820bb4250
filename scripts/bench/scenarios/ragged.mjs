/** One very long row beside short ones: what it costs them, and what the rows hold of memory. */
import { setTimeout as sleep } from "node:timers/promises";
import {
  finished,
  goOn,
  keepBusy,
  promptOf,
  quotient,
  rateOf,
  running,
  textIndex,
  tokensPerSecond,
} from "./common.mjs";

const sizes = {
  full: { longTokens: 7_000, streams: 15, maxTokens: 64, requestsEach: 2 },
  quick: { longTokens: 2_000, streams: 15, maxTokens: 32, requestsEach: 1 },
  tiny: { longTokens: 40, streams: 2, maxTokens: 4, requestsEach: 1 },
};
const shortTokens = 32;
const pollMs = 250;
/** Answers of the long row; it asks again after one. */
const longAnswerTokens = 512;

/** @type {import("./common.mjs").Scenario} */
export const ragged = {
  id: "ragged",
  about: "one very long row beside short ones",
  roundsDefault: 3,
  needs(size) {
    const { longTokens, streams, maxTokens } = sizes[size];
    const rowTokens = longTokens + longAnswerTokens + 256;
    return {
      rows: streams + 1,
      rowTokens,
      totalTokens: rowTokens + streams * (shortTokens + maxTokens + 128),
    };
  },
  cases: (size) => [
    {
      id: "ragged",
      title: `${sizes[size].streams} short rows, with and without one of ${sizes[size].longTokens} tokens`,
      figures: [
        { ...tokensPerSecond, title: "tokens/s of the short rows, with it" },
        { ...tokensPerSecond, id: "without", title: "the same without it" },
        { id: "share", title: "with ÷ without", unit: "share", better: "more" },
        { id: "kv", title: "KV bytes held, most", unit: "bytes", better: "less" },
      ],
      run: (context) => measure(context, sizes[size]),
    },
  ],
};

async function measure(context, { longTokens, streams, maxTokens, requestsEach }) {
  const { target, toolkit } = context;
  const short = async (part) => {
    const load = {
      streams,
      maxTokens,
      prompt: { tokens: shortTokens, ending: goOn },
      until: { requests: streams * requestsEach },
    };
    const first = textIndex(context, part);
    return toolkit.runClosedLoop(target, load, first, () => {});
  };
  const without = await short(1);
  const longRecords = [];
  const prompt = promptOf(context, longTokens, 3);
  const first = await target.run({ prompt, maxTokens: 4 });
  const long = running((ended) =>
    keepBusy(context, ended, () => ({ prompt, maxTokens: longAnswerTokens }), longRecords),
  );
  const watch = running((ended) => highest(context.kvBytes, ended));
  const withIt = await short(2);
  const kv = await watch.stop();
  await long.stop();
  const rate = ({ records, wallMs }) => rateOf(toolkit.summarize(records, wallMs));
  return {
    figures: {
      "tokens/s": rate(withIt),
      without: rate(without),
      share: quotient(rate(withIt), rate(without)),
      kv,
    },
    records: [first, ...without.records, ...withIt.records, ...finished(longRecords)],
  };
}

/** The highest that a server tells until the signal; undefined where it tells nothing. */
async function highest(read, signal) {
  let most;
  while (!signal.aborted) {
    const now = await read?.();
    if (now === undefined) return most;
    most = Math.max(most ?? 0, now);
    await sleep(pollMs, undefined, { signal }).catch(() => {});
  }
  return most;
}
