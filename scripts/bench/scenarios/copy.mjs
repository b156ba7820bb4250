/** An answer that repeats most of its prompt, as an edit does: what speculation by prompt lookup is for. */
import { rateOf, textIndex, time, tokensPerSecond } from "./common.mjs";

const sizes = {
  full: { textTokens: 300, maxTokens: 256 },
  quick: { textTokens: 150, maxTokens: 96 },
  tiny: { textTokens: 12, maxTokens: 6 },
};
/** Words in a row that count as copied. */
const runWords = 4;

/** @type {import("./common.mjs").Scenario} */
export const copy = {
  id: "copy",
  about: "one answer that repeats its prompt",
  roundsDefault: 5,
  needs: (size) => ({ rows: 1, rowTokens: 4 * sizes[size].textTokens + 512 }),
  cases: (size) => [
    {
      id: "copy",
      title: `a text of ${sizes[size].textTokens} tokens repeated`,
      figures: [
        tokensPerSecond,
        time("inter-token p50"),
        {
          id: "copied",
          title: "share of the answer that is in the prompt",
          unit: "share",
          better: "more",
        },
      ],
      run: (context) => measure(context, sizes[size]),
    },
  ],
};

async function measure(context, { textTokens, maxTokens }) {
  const { target, toolkit } = context;
  const text = toolkit.syntheticPrompt(textIndex(context), textTokens);
  // A small model goes on with what it has seen twice.
  const prompt = `Repeat this text word by word.\n\n${text}\n\n${text}\n\n${text.slice(0, text.length / 10)}`;
  const record = await target.run({ prompt, maxTokens });
  const { arrivals, endedAt } = record;
  const decodeMs = endedAt - (arrivals[0] ?? endedAt);
  const summary = toolkit.summarize([record], decodeMs);
  return {
    figures: {
      "tokens/s": rateOf(summary),
      "inter-token p50": summary.interTokenMs?.p50,
      copied: copiedShare(record.texts?.join("") ?? "", prompt),
    },
    records: [record],
  };
}

/**
 * Which share of an answer's runs of words stands in its prompt; undefined for an answer without one.
 * @param {string} answer
 * @param {string} prompt
 * @returns {number | undefined}
 */
export function copiedShare(answer, prompt) {
  const known = new Set(runsOf(prompt));
  const runs = runsOf(answer);
  return runs.length === 0 ? undefined : runs.filter((run) => known.has(run)).length / runs.length;
}

function runsOf(text) {
  const words = text.split(/\s+/).filter((word) => word !== "");
  return Array.from({ length: Math.max(0, words.length - runWords + 1) }, (_, index) =>
    words.slice(index, index + runWords).join(" "),
  );
}
