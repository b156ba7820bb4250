/** One prompt at a time, of several lengths: tokens a second until its first token is there. */
import { promptOf, quotient, ttftOf } from "./common.mjs";

const lengths = {
  full: [326, 1_010, 2_370, 4_700, 7_040],
  quick: [326, 2_370],
  tiny: [40],
};
/** More than one: the first may be half a character, which is no text yet. */
const maxTokens = 4;

const rate = { id: "tokens/s", title: "prompt tokens/s", unit: "tokens/s", better: "more" };

/** @type {import("./common.mjs").Scenario} */
export const prefill = {
  id: "prefill",
  about: "one prompt alone, none of it seen before",
  roundsDefault: 3,
  needs: (size) => ({ rows: 1, rowTokens: Math.max(...lengths[size]) + 256 }),
  cases: (size) =>
    lengths[size].map((tokens, index) => ({
      id: `prefill-${tokens}`,
      title: `prompt of ${tokens} tokens`,
      light: index === 0,
      figures: [rate],
      run: (context) => measure(context, tokens),
    })),
};

async function measure(context, tokens) {
  const record = await context.target.run({ prompt: promptOf(context, tokens, tokens), maxTokens });
  const { promptTokens, cachedTokens } = record.usage ?? {};
  const ttftMs = ttftOf(record);
  const computed = promptTokens === undefined ? undefined : promptTokens - cachedTokens;
  const perMs = quotient(computed, ttftMs);
  return { figures: { "tokens/s": perMs && perMs * 1000 }, records: [record] };
}
