/** Every scenario on the fake engine: what comes out has the shape that the report reads. No figure is judged. */
import { describe, expect, it } from "vitest";
import { measureScenario } from "../../../scripts/bench/measure.mjs";
import { gapsIn } from "../../../scripts/bench/scenarios/beside.mjs";
import { copiedShare } from "../../../scripts/bench/scenarios/copy.mjs";
import { scenarios } from "../../../scripts/bench/scenarios/index.mjs";
import { poissonOffsetsMs } from "../../../scripts/bench/scenarios/open-loop.mjs";
import { brokenPeer, fakePeer, quiet, toolkit } from "./support.js";

const rounds = 1;
/** Where the machine is busy, tokens come together: then there are no gaps between them. */
const ofGaps = /inter-token|gap/;

function measure(scenario: (typeof scenarios)[number], peers: object[], more: object = {}) {
  const signal = new AbortController().signal;
  const options = {
    scenario,
    size: "tiny",
    rounds,
    peers,
    toolkit,
    signal,
    say: quiet,
    sampleMs: 1,
  };
  return measureScenario({ ...options, ...more } as Parameters<typeof measureScenario>[0]);
}

const scenarioOf = (id: string) => scenarios.find((one) => one.id === id)!;

describe("a scenario", () => {
  it.each(scenarios.map((scenario) => [scenario.id, scenario] as const))(
    "%s measures every figure that it names, and a peer that fails is told",
    async (_, scenario) => {
      const peers = [fakePeer("ours"), fakePeer("other"), brokenPeer("broken")];
      const result = await measure(scenario, peers);
      expect(result).toMatchObject({ id: scenario.id, rounds });
      expect(result.cases.length).toBeGreaterThan(0);
      for (const { figures, servers, ratios } of result.cases) {
        for (const id of ["ours", "other"]) {
          const cell = servers[id]!;
          expect(cell.reason).toBeUndefined();
          expect(cell.failures).toEqual({});
          const names = figures.map((one) => one.id);
          const missing = names.filter((name) => cell.figures[name] === undefined);
          expect(missing.filter((name) => !ofGaps.test(name))).toEqual([]);
          expect(names).toEqual(expect.arrayContaining(Object.keys(cell.figures)));
          for (const { rounds: values, min, median, max } of Object.values(cell.figures)) {
            expect(values).toHaveLength(rounds);
            expect(min).toBeLessThanOrEqual(median);
            expect(median).toBeLessThanOrEqual(max);
          }
          expect(cell.completionTokens).toBeGreaterThan(0);
        }
        expect(servers.broken).toMatchObject({ reason: "it is not installed", figures: {} });
        expect(Object.keys(ratios)).toEqual(["other"]);
      }
    },
  );

  it("gives a slow server its light loads alone", async () => {
    const result = await measure(scenarioOf("streams"), [
      fakePeer("ours"),
      fakePeer("slow", { slow: true }),
    ]);
    for (const { light, servers } of result.cases) {
      if (light) expect(servers.slow?.reason).toBeUndefined();
      else expect(servers.slow).toMatchObject({ reason: "too slow for it: see the light loads" });
    }
    expect(new Set(result.cases.map(({ light }) => light))).toEqual(new Set([true, false]));
  });

  it("does not restart a server that is somebody's", async () => {
    const peers = [fakePeer("ours"), fakePeer("theirs", { running: true })];
    const { cases } = await measure(scenarioOf("restart"), peers);
    expect(cases[0]!.servers.theirs?.reason).toBe("it is not ours to start and stop");
  });

  it("runs one server at a time where memory is scarce", async () => {
    let up = 0;
    let most = 0;
    const counted = (id: string) => {
      const peer = fakePeer(id);
      const start = async () => {
        const server = await peer.start();
        most = Math.max(most, ++up);
        const stop = async () => {
          up -= 1;
          await server.stop();
        };
        return { ...server, stop };
      };
      return { ...peer, start };
    };
    const peers = [counted("ours"), counted("other")];
    const { cases } = await measure(scenarioOf("copy"), peers, { alone: true });
    expect(most).toBe(1);
    expect(up).toBe(0);
    expect(cases[0]!.servers.other?.reason).toBeUndefined();
  });

  it("compares with none of whose requests some failed", async () => {
    const streams = scenarioOf("streams");
    const halves = {
      ...streams,
      cases: (size: "tiny") =>
        streams.cases(size).map((test) => ({
          ...test,
          run: async (context: Parameters<typeof test.run>[0]) => {
            const outcome = await test.run(context);
            if (context.peer.id !== "half") return outcome;
            const failed = { ...outcome.records[0], failure: "timeout" };
            return { ...outcome, records: [...outcome.records, failed] };
          },
        })),
    };
    const peers = [fakePeer("ours"), fakePeer("half"), fakePeer("whole")];
    const { cases } = await measure(halves as typeof streams, peers);
    for (const { servers, ratios } of cases) {
      expect(servers.half?.failures).toEqual({ timeout: 1 });
      expect(Object.keys(ratios)).toEqual(["whole"]);
    }
  });

  it("tells a server whose requests all fail, and asks it no more", async () => {
    let asked = 0;
    const failing = {
      ...fakePeer("failing"),
      start: async () => ({ url: "http://127.0.0.1:1", stop: async () => {} }),
    };
    const counting = {
      ...toolkit,
      targetOf: (server: { url: string }) => {
        const target = toolkit.targetOf(server) as { run: (request: object) => Promise<object> };
        if (server.url.endsWith(":1")) {
          const run = target.run.bind(target);
          target.run = (request) => {
            asked += 1;
            return run(request);
          };
        }
        return target;
      },
    };
    const peers = [fakePeer("ours"), failing];
    const { cases } = await measure(scenarioOf("copy"), peers, { toolkit: counting });
    expect(cases[0]!.servers.failing?.reason).toBe(
      "no request to warm it up succeeded: connection",
    );
    expect(asked).toBe(1);
  });
});

describe("arrivals", () => {
  it("are the same for a seed, in order, and at the rate", () => {
    const offsets = poissonOffsetsMs(20_000, 50, 7);
    expect(poissonOffsetsMs(20_000, 50, 7)).toEqual(offsets);
    expect(poissonOffsetsMs(20_000, 50, 8)).not.toEqual(offsets);
    expect(offsets).toEqual([...offsets].sort((a, b) => a - b));
    expect(20_000 / (offsets.at(-1)! / 1000)).toBeCloseTo(50, -0.5);
    // Exponential gaps: their deviation is their mean.
    const gaps = offsets.map((at, index) => at - (offsets[index - 1] ?? 0));
    const variance = gaps.reduce((sum, gap) => sum + (gap - 20) ** 2, 0) / gaps.length;
    expect(Math.sqrt(variance) / 20).toBeCloseTo(1, 1);
  });
});

describe("gaps in a time", () => {
  const records = [{ arrivals: [0, 10, 50, 60] }, { arrivals: [35] }];

  it("lie in it, or are touched by it", () => {
    expect(gapsIn(records, 0, 50).within).toEqual([10, 40]);
    expect(gapsIn(records, 20, 55)).toEqual({ within: [], touching: [40, 10] });
  });

  it("touch a time that is shorter than they are", () => {
    expect(gapsIn(records, 20, 21).touching).toEqual([40]);
  });
});

describe("what is copied", () => {
  it("is the share of an answer's runs of words that its prompt has", () => {
    expect(copiedShare("a b c d e", "x a b c d e y")).toBe(1);
    expect(copiedShare("a b c d z", "a b c d e")).toBe(0.5);
    expect(copiedShare("a b", "a b")).toBeUndefined();
  });
});
