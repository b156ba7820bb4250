/**
 * Requests that come when they come: Poisson arrivals at shares of what the server can do, which a closed loop
 * measures first. Here TTFT has the waiting in it that a closed loop hides in its clients.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { Chance } from "../../lib/chance.mjs";
import { goOn, latencies, latenciesOf, textIndex } from "./common.mjs";

const shares = [50, 80, 95];
const sizes = {
  full: { streams: 16, maxTokens: 64, probes: 48, requests: 60 },
  quick: { streams: 16, maxTokens: 32, probes: 16, requests: 20 },
  tiny: { streams: 2, maxTokens: 4, probes: 2, requests: 3 },
};
const promptTokens = 32;

/** A server's capacity, in requests a second, by its target: measured once a round. */
const capacities = new WeakMap();

/** @type {import("./common.mjs").Scenario} */
export const openLoop = {
  id: "open-loop",
  about: "Poisson arrivals at shares of each server's own capacity",
  roundsDefault: 3,
  needs: (size) => ({ rows: sizes[size].streams, rowTokens: 512 }),
  cases: (size) =>
    shares.map((share) => ({
      id: `open-${share}`,
      title: `arrivals at ${share} % of capacity`,
      figures: [
        { id: "rate", title: "requests/s", unit: "requests/s", better: "more" },
        ...latencies,
      ],
      run: (context) => measure(context, share, sizes[size]),
    })),
};

async function measure(context, share, size) {
  const capacity = await capacityOf(context, size);
  if (capacity.perSecond === 0) return { figures: {}, records: capacity.records };
  const rate = (capacity.perSecond * share) / 100;
  const offsets = poissonOffsetsMs(size.requests, rate, textIndex(context, share));
  const startedAt = performance.now();
  const records = await Promise.all(
    offsets.map(async (offset, request) => {
      await sleep(Math.max(0, startedAt + offset - performance.now()), undefined, {
        signal: context.signal,
      });
      const index = textIndex(context, share, request);
      const prompt = `${context.toolkit.syntheticPrompt(index, promptTokens)}${goOn}`;
      return context.target.run({ prompt, maxTokens: size.maxTokens });
    }),
  );
  const endedAt = records.reduce((latest, record) => Math.max(latest, record.endedAt), startedAt);
  const summary = context.toolkit.summarize(records, endedAt - startedAt);
  return { figures: { rate, ...latenciesOf(summary) }, records };
}

async function capacityOf(context, { streams, maxTokens, probes }) {
  const { target, toolkit, round } = context;
  const known = capacities.get(target);
  if (known?.round === round) return known;
  const load = {
    streams,
    maxTokens,
    prompt: { tokens: promptTokens, ending: goOn },
    until: { requests: probes },
  };
  const { records, wallMs } = await toolkit.runClosedLoop(
    target,
    load,
    textIndex(context),
    () => {},
  );
  const perSecond = toolkit.summarize(records, wallMs).requestsPerSecond;
  const capacity = { round, perSecond, records };
  capacities.set(target, capacity);
  return capacity;
}

/**
 * When requests come, in milliseconds from the start: gaps are exponential. The same for the same seed.
 * @param {number} count
 * @param {number} perSecond
 * @param {number} seed
 * @returns {number[]}
 */
export function poissonOffsetsMs(count, perSecond, seed) {
  const chance = new Chance(seed);
  let at = 0;
  return Array.from({ length: count }, () => {
    at += (-Math.log(1 - chance.next()) / perSecond) * 1000;
    return at;
  });
}
