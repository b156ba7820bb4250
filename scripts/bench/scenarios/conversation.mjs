/** One conversation: what a later turn waits for its first token, beside a prompt that is as long as its new part. */

import { quotient, textIndex, time, ttftOf } from "./common.mjs";
import { Dialogue } from "./dialogue.mjs";

const sizes = {
  full: { firstTokens: 2_000, turns: 5, newTokens: 150, answerTokens: 40 },
  quick: { firstTokens: 600, turns: 3, newTokens: 150, answerTokens: 20 },
  tiny: { firstTokens: 20, turns: 2, newTokens: 8, answerTokens: 4 },
};

/** @type {import("./common.mjs").Scenario} */
export const conversation = {
  id: "conversation",
  about: "one conversation; its turns from the second on",
  roundsDefault: 3,
  needs(size) {
    const { firstTokens, turns, newTokens, answerTokens } = sizes[size];
    return { rows: 1, rowTokens: firstTokens + turns * (newTokens + answerTokens + 30) + 256 };
  },
  cases: (size) => [
    {
      id: "conversation",
      title: `turns of ${sizes[size].newTokens} new tokens after ${sizes[size].firstTokens}`,
      figures: [
        time("TTFT p50", "TTFT, median of turns"),
        {
          id: "to alone",
          title: "TTFT to that of the new tokens alone",
          unit: "ratio",
          better: "less",
        },
      ],
      run: (context) => measure(context, sizes[size]),
    },
  ],
};

async function measure(context, { firstTokens, turns, newTokens, answerTokens }) {
  const { target, toolkit } = context;
  const dialogue = new Dialogue();
  const text = (part, tokens) => toolkit.syntheticPrompt(textIndex(context, part), tokens);
  const alone = [];
  await dialogue.say(target, text(0, firstTokens), answerTokens);
  for (let turn = 1; turn < turns; turn++) {
    alone.push(await target.run({ prompt: text(turn, newTokens), maxTokens: answerTokens }));
    await dialogue.say(target, text(100 + turn, newTokens), answerTokens);
  }
  const later = toolkit.distribution(dialogue.records.slice(1).flatMap((one) => ttftOf(one) ?? []));
  const lone = toolkit.distribution(alone.flatMap((one) => ttftOf(one) ?? []));
  return {
    figures: { "TTFT p50": later?.p50, "to alone": quotient(later?.p50, lone?.p50) },
    records: [...dialogue.records, ...alone],
  };
}
