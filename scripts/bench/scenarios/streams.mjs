/** Closed loop: so many streams, each of which asks again when its last answer has ended. */
import { goOn, latencies, latenciesOf, rateOf, textIndex, tokensPerSecond } from "./common.mjs";

const promptTokens = 32;
const requestsPerStream = { full: 2, quick: 1, tiny: 1 };
const tokensOf = { full: 64, quick: 64, tiny: 4 };
const streamsOf = { full: [1, 8, 16, 32], quick: [1, 16], tiny: [2] };
/** For servers of a few tokens a second. */
const lightTokens = { full: 16, quick: 16, tiny: 2 };
const lightStreams = { full: [1, 8], quick: [1], tiny: [1] };

/** @type {import("./common.mjs").Scenario} */
export const streams = {
  id: "streams",
  about: "closed loop of short prompts",
  roundsDefault: 5,
  needs: (size) => ({ rows: Math.max(...streamsOf[size]), rowTokens: 512 }),
  cases: (size) => [
    ...streamsOf[size].map((count) => makeCase(count, tokensOf[size], requestsPerStream[size])),
    ...lightStreams[size].map((count) => ({
      ...makeCase(count, lightTokens[size], 1),
      id: `light-${count}`,
      light: true,
    })),
  ],
};

function makeCase(count, maxTokens, requestsEach) {
  return {
    id: `streams-${count}`,
    title: `${count} stream${count === 1 ? "" : "s"} of ${maxTokens} tokens`,
    figures: [tokensPerSecond, ...latencies],
    async run(context) {
      const { target, toolkit } = context;
      const load = {
        streams: count,
        maxTokens,
        prompt: { tokens: promptTokens, ending: goOn },
        // One stream alone is short: more of it.
        until: { requests: count * requestsEach * (count === 1 ? 2 : 1) },
      };
      const first = textIndex(context, count);
      const { records, wallMs } = await toolkit.runClosedLoop(target, load, first, () => {});
      const summary = toolkit.summarize(records, wallMs);
      return { figures: { "tokens/s": rateOf(summary), ...latenciesOf(summary) }, records };
    },
  };
}
