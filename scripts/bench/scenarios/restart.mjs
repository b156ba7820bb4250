/** A start and a restart: how long until it answers, and what is left of a prompt that it had computed. */
import { promptOf, quotient, time, ttftOf } from "./common.mjs";

const promptTokens = { full: 2_000, quick: 1_000, tiny: 30 };
const maxTokens = 4;

/** @type {import("./common.mjs").Scenario} */
export const restart = {
  id: "restart",
  about: "a start with nothing computed, and a restart after a prompt",
  roundsDefault: 3,
  startsServers: true,
  needs: (size) => ({ rows: 1, rowTokens: promptTokens[size] + 512 }),
  cases: (size) => [
    {
      id: "restart",
      title: `start and restart, prompt of ${promptTokens[size]} tokens`,
      figures: [
        time("start", "until the first answer after a start"),
        time("restart", "until the first answer after a restart"),
        time("TTFT cold", "the prompt's TTFT after the start"),
        time("TTFT warm", "the same prompt's after the restart"),
        { id: "warm share", title: "warm ÷ cold", unit: "share", better: "less" },
      ],
      run: (context) => measure(context, promptTokens[size]),
    },
  ],
};

async function measure(context, tokens) {
  const prompt = promptOf(context, tokens);
  const folder = context.toolkit.scratch();
  try {
    const cold = await life(context, prompt, folder.path);
    const warm = await life(context, prompt, folder.path);
    const [coldMs, warmMs] = [ttftOf(cold.record), ttftOf(warm.record)];
    return {
      figures: {
        start: cold.readyMs,
        restart: warm.readyMs,
        "TTFT cold": coldMs,
        "TTFT warm": warmMs,
        "warm share": quotient(warmMs, coldMs),
      },
      records: [...cold.records, ...warm.records],
    };
  } finally {
    folder.remove();
  }
}

/** `keptIn`: where a server may keep what it computes beyond its end. */
async function life({ peer, needs, toolkit, signal }, prompt, keptIn) {
  const startedAt = performance.now();
  const server = await peer.start({ needs, signal, keptIn });
  const target = toolkit.targetOf(server);
  try {
    const first = await target.run({ prompt: "Hello", maxTokens: 1 });
    const readyMs = first.failure === undefined ? first.endedAt - startedAt : undefined;
    const record = await target.run({ prompt, maxTokens });
    return { readyMs, record, records: [first, record] };
  } finally {
    await target.close();
    await server.stop();
  }
}
