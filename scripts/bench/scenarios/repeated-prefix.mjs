/** The same long beginning again, with another end: what the prefix cache saves. */
import { promptOf, quotient, textIndex, time, ttftOf } from "./common.mjs";

const prefixTokens = { full: 2_000, quick: 1_000, tiny: 140 };
const endTokens = 16;
const maxTokens = 4;

/** @type {import("./common.mjs").Scenario} */
export const repeatedPrefix = {
  id: "repeated-prefix",
  about: "one beginning, two ends",
  roundsDefault: 5,
  needs: (size) => ({ rows: 1, rowTokens: prefixTokens[size] + 512 }),
  cases: (size) => [
    {
      id: "repeated-prefix",
      title: `prefix of ${prefixTokens[size]} tokens, repeated`,
      figures: [
        time("TTFT cold", "TTFT, first time"),
        time("TTFT warm", "TTFT, second time"),
        { id: "warm share", title: "second ÷ first", unit: "share", better: "less" },
      ],
      run: (context) => measure(context, prefixTokens[size]),
    },
  ],
};

async function measure(context, tokens) {
  const { target, toolkit } = context;
  const prefix = promptOf(context, tokens);
  const ask = (part) => {
    const end = toolkit.syntheticPrompt(textIndex(context, part), endTokens);
    return target.run({ prompt: `${prefix}\n${end}`, maxTokens });
  };
  const cold = await ask(1);
  const warm = await ask(2);
  const [coldMs, warmMs] = [ttftOf(cold), ttftOf(warm)];
  return {
    figures: { "TTFT cold": coldMs, "TTFT warm": warmMs, "warm share": quotient(warmMs, coldMs) },
    records: [cold, warm],
  };
}
