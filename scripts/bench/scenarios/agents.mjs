/** Agents at work: all begin alike, each goes on by itself, and every turn repeats its history. */

import { promptOf, quotient, textIndex, time } from "./common.mjs";
import { Dialogue } from "./dialogue.mjs";

const sizes = {
  full: { agents: 8, turns: 4, sharedTokens: 2_930, turnTokens: 174, answerTokens: 32 },
  quick: { agents: 8, turns: 2, sharedTokens: 1_000, turnTokens: 174, answerTokens: 16 },
  tiny: { agents: 2, turns: 2, sharedTokens: 20, turnTokens: 10, answerTokens: 4 },
};
/** What a chat template puts around one turn. */
const turnOverhead = 9;

/** @type {import("./common.mjs").Scenario} */
export const agents = {
  id: "agents",
  about: "agents with one shared prefix, histories that grow",
  roundsDefault: 3,
  needs(size) {
    const { agents: rows, turns, sharedTokens, turnTokens, answerTokens } = sizes[size];
    const rowTokens = sharedTokens + turns * (turnTokens + answerTokens) + 256;
    return { rows, rowTokens };
  },
  cases(size) {
    const { agents: count, turns, sharedTokens } = sizes[size];
    const shares = Array.from({ length: turns - 1 }, (_, index) => ({
      id: `cached ${index + 2}`,
      title: `turn ${index + 2}: cached share of what it repeats`,
      unit: "share",
      better: "more",
    }));
    return [
      {
        id: "agents",
        title: `${count} agents, ${turns} turns, ${sharedTokens} tokens shared`,
        figures: [time("wall", "wall time"), time("TTFT p50"), time("TTFT p95"), ...shares],
        run: (context) => measure(context, sizes[size]),
      },
    ];
  },
};

async function measure(context, { agents: count, turns, sharedTokens, turnTokens, answerTokens }) {
  const { target, toolkit } = context;
  const shared = { role: "system", content: promptOf(context, sharedTokens) };
  const dialogues = Array.from({ length: count }, () => new Dialogue([shared]));
  const startedAt = performance.now();
  await Promise.all(
    dialogues.map(async (dialogue, agent) => {
      for (let turn = 1; turn <= turns; turn++) {
        const index = textIndex(context, turn, agent);
        const content = toolkit.syntheticPrompt(index, Math.max(1, turnTokens - turnOverhead));
        const { failure } = await dialogue.say(target, content, answerTokens);
        if (failure !== undefined) return;
      }
    }),
  );
  const records = dialogues.flatMap((dialogue) => dialogue.records);
  const wall = Math.max(...records.map(({ endedAt }) => endedAt)) - startedAt;
  const { ttftMs } = toolkit.summarize(records, wall);
  const shares = Array.from({ length: turns - 1 }, (_, index) => [
    `cached ${index + 2}`,
    cachedShare(dialogues.flatMap((dialogue) => dialogue.turns[index + 1] ?? [])),
  ]);
  return {
    figures: {
      wall,
      "TTFT p50": ttftMs?.p50,
      "TTFT p95": ttftMs?.p95,
      ...Object.fromEntries(shares),
    },
    records,
  };
}

/** Of all tokens that a turn repeats. */
function cachedShare(turns) {
  const counted = turns.filter(
    ({ known, cachedTokens }) => known > 0 && cachedTokens !== undefined,
  );
  const sum = (of) => counted.reduce((total, turn) => total + of(turn), 0);
  return quotient(
    sum(({ cachedTokens, known }) => Math.min(cachedTokens, known)),
    sum(({ known }) => known),
  );
}
