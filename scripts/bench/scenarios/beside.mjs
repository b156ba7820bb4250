/** A long prompt arrives beside running streams: what they feel of it, and what it waits. */
import { setTimeout as sleep } from "node:timers/promises";
import {
  finished,
  goOn,
  keepBusy,
  promptOf,
  quotient,
  running,
  textIndex,
  time,
  ttftOf,
} from "./common.mjs";

const sizes = {
  full: { streams: 8, promptTokens: 4_000, maxTokens: 512, idleMs: 6_000 },
  quick: { streams: 8, promptTokens: 1_500, maxTokens: 256, idleMs: 3_000 },
  tiny: { streams: 2, promptTokens: 30, maxTokens: 64, idleMs: 100 },
};
const shortTokens = 32;
const pollMs = 20;

const ratio = (id, title) => ({ id, title, unit: "ratio", better: "less" });

/** @type {import("./common.mjs").Scenario} */
export const beside = {
  id: "beside",
  about: "a long prompt that arrives beside running streams",
  roundsDefault: 3,
  needs: (size) => ({ rows: sizes[size].streams + 1, rowTokens: sizes[size].promptTokens + 512 }),
  cases: (size) => [
    {
      id: "beside",
      title: `prompt of ${sizes[size].promptTokens} tokens beside ${sizes[size].streams} streams`,
      figures: [
        time("gap p99", "inter-token p99 of the streams meanwhile"),
        time("idle gap p99", "the same before"),
        ratio("gap ratio", "meanwhile ÷ before"),
        time("TTFT", "the prompt's TTFT"),
        time("TTFT alone", "the same alone"),
        ratio("TTFT ratio", "beside ÷ alone"),
      ],
      run: (context) => measure(context, sizes[size]),
    },
  ],
};

async function measure(context, { streams, promptTokens, maxTokens, idleMs }) {
  const { target, toolkit, signal } = context;
  const long = (part) =>
    target.run({ prompt: promptOf(context, promptTokens, part), maxTokens: 4 });
  const alone = await long(1);
  const records = [];
  const load = running((ended) => {
    const request = (stream) => (index) => ({
      prompt: `${toolkit.syntheticPrompt(textIndex(context, 10 + stream, index), shortTokens)}${goOn}`,
      maxTokens,
    });
    const each = (_, stream) => keepBusy(context, ended, request(stream), records);
    return Promise.all(Array.from({ length: streams }, each));
  });
  const idleFrom = performance.now() + idleMs / 2;
  // They come in step first.
  await sleep(idleMs / 2 + idleMs, undefined, { signal });
  const sentAt = performance.now();
  const late = await long(2);
  const until = late.arrivals[0] ?? late.endedAt;
  // The gap that it has made must have ended.
  await sleep(pollMs * 5, undefined, { signal });
  await load.stop();
  const p99 = (gaps) => toolkit.distribution(gaps)?.p99;
  const idle = p99(gapsIn(records, idleFrom, sentAt).within);
  const busy = p99(gapsIn(records, sentAt, until).touching);
  return {
    figures: {
      "gap p99": busy,
      "idle gap p99": idle,
      "gap ratio": quotient(busy, idle),
      TTFT: ttftOf(late),
      "TTFT alone": ttftOf(alone),
      "TTFT ratio": quotient(ttftOf(late), ttftOf(alone)),
    },
    records: [alone, late, ...finished(records)],
  };
}

/**
 * Gaps between texts of one stream: those that lie in a time, and those that a time touches.
 * @param {readonly { arrivals: number[] }[]} records
 * @param {number} from
 * @param {number} to
 * @returns {{ within: number[], touching: number[] }}
 */
export function gapsIn(records, from, to) {
  const gaps = records.flatMap(({ arrivals }) =>
    arrivals.slice(1).map((at, index) => ({ began: arrivals[index], at })),
  );
  const length = ({ began, at }) => at - began;
  return {
    within: gaps.filter(({ began, at }) => began >= from && at <= to).map(length),
    touching: gaps.filter(({ began, at }) => began < to && at > from).map(length),
  };
}
