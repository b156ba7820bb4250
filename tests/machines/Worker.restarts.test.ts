import { describe, expect, it } from "vitest";
import type { Effect, Event, State } from "../../src-ts/machines/Worker.js";
import {
  initial,
  defaultPolicy as policy,
  protocol,
  transition,
} from "../../src-ts/machines/Worker.js";
import { accepted } from "./support.js";

/** A worker whose process does what the test says; times are given, jitter is full. */
class Bench {
  state: State = initial(policy);
  effects: Effect[] = [];

  say(...events: Event[]): this {
    for (const event of events)
      ({ state: this.state, effects: this.effects } = accepted(transition(this.state, event)));
    return this;
  }

  get epoch(): number {
    return this.state.memory.epoch;
  }

  up(at: number): this {
    const { epoch } = this;
    return this.say(
      { kind: "spawned", epoch, pid: 1 },
      { kind: "hello", epoch, protocol },
      { kind: "loaded", epoch, at },
    );
  }

  work(at: number): this {
    return this.say({ kind: "progressed", epoch: this.epoch, at });
  }

  die(at: number): this {
    return this.say({ kind: "exited", epoch: this.epoch, code: 1, signal: "", at, jitter: 1 });
  }

  hold(count: number, preparing: number, at: number): this {
    return this.say({ kind: "pending", epoch: this.epoch, count, preparing, at });
  }

  timer(timer: "backoff" | "probe", at: number): this {
    return this.say({ kind: "timer", timer, at });
  }
}

const started = () => new Bench().say({ kind: "start" });

/** Deaths without progress at these times, each right after the backoff of the one before. */
function diesWithoutProgress(bench: Bench, ...times: number[]): Bench {
  for (const at of times) {
    if (bench.state.kind === "backoff") bench.timer("backoff", at);
    bench.die(at);
  }
  return bench;
}

describe("restarts", () => {
  it("back off twice as long each time, with full jitter, up to the limit of the circuit", () => {
    const bench = started();
    const pauses = [];
    for (let death = 1; death < policy.deathsWithoutProgressMax; death += 1) {
      diesWithoutProgress(bench, death * 1_000);
      pauses.push(bench.effects.find((effect) => effect.kind === "arm"));
    }
    expect(pauses.map((effect) => effect?.kind === "arm" && effect.ms)).toEqual([
      100, 200, 400, 800,
    ]);
  });

  it("open the circuit at the fifth death without progress in the window", () => {
    const bench = diesWithoutProgress(started(), 0, 1, 2, 3);
    expect(bench.state.kind).toBe("backoff");
    diesWithoutProgress(bench, 4);
    expect(bench.state).toMatchObject({ kind: "broken", reason: "exited", since: 4 });
    expect(bench.effects).toEqual([
      { kind: "disarm", timer: "hello" },
      { kind: "report", fault: "exited", fatal: true },
      { kind: "arm", timer: "probe", ms: policy.probeMs },
    ]);
  });

  it("forget deaths that have left the window", () => {
    const slowly = [0, 1, 2, 3].map((death) => (death * policy.windowMs) / 4);
    const bench = diesWithoutProgress(started(), ...slowly, policy.windowMs);
    expect(bench.state).toMatchObject({ kind: "backoff", attempt: 3 });
  });

  it("forget deaths without progress after progress", () => {
    const bench = diesWithoutProgress(started(), 0, 1, 2, 3)
      .timer("backoff", 4)
      .up(4)
      .work(5)
      .die(6);
    expect(bench.state).toMatchObject({ kind: "starting", memory: { deathsWithoutProgress: [] } });
  });

  it("open the circuit at the twentieth death in the window, progress or not", () => {
    const bench = started();
    for (let death = 1; death < policy.deathsMax; death += 1)
      bench.up(death).work(death).die(death);
    expect(bench.state.kind).toBe("starting");
    bench.up(20).work(20).die(20);
    expect(bench.state).toMatchObject({ kind: "broken" });
  });

  it("come at once and are not counted where somebody was being prepared", () => {
    const bench = diesWithoutProgress(started(), 0, 1, 2, 3).timer("backoff", 4);
    const { memory } = bench.state;
    for (let death = 1; death <= 2 * policy.deathsMax; death += 1)
      bench.up(death).hold(1, 1, death).die(death);
    expect(bench.state).toMatchObject({
      kind: "starting",
      memory: { deaths: memory.deaths, deathsWithoutProgress: memory.deathsWithoutProgress },
    });
    bench.up(5).hold(1, 0, 5).die(5);
    expect(bench.state.kind).toBe("broken");
  });

  it("count what is answered in time, whoever was being prepared before", () => {
    const bench = diesWithoutProgress(started(), 0, 1, 2, 3).timer("backoff", 4);
    bench.up(5).hold(1, 1, 5).hold(0, 0, 6).die(6);
    expect(bench.state.kind).toBe("broken");
  });

  it.each(["violated", "closed"] as const)(
    "are excused too where the link is %s before the exit",
    (kind) => {
      const bench = diesWithoutProgress(started(), 0, 1, 2, 3)
        .timer("backoff", 4)
        .up(5)
        .hold(1, 1, 5);
      bench.say({ kind, epoch: bench.epoch }).die(6);
      expect(bench.state.kind).toBe("starting");
    },
  );

  it("are excused where the preparation stood still", () => {
    const bench = diesWithoutProgress(started(), 0, 1, 2, 3)
      .timer("backoff", 4)
      .up(5)
      .hold(1, 1, 5);
    bench.say({ kind: "timer", timer: "watchdog", at: 5 + policy.stallMs });
    expect(bench.state).toMatchObject({ kind: "stopping", fault: "stalled", excused: true });
    expect(bench.die(20_000).state.kind).toBe("starting");
  });

  it("probe once: a death without progress breaks it again at once, however late", () => {
    const bench = diesWithoutProgress(started(), 0, 1, 2, 3, 4);
    for (const at of [1, 2, 3].map((probe) => probe * 10 * policy.windowMs)) {
      bench.timer("probe", at);
      expect(bench.state.kind).toBe("starting");
      bench.die(at + 1);
      expect(bench.state).toMatchObject({ kind: "broken", since: at + 1 });
    }
  });

  it("are healthy again after a probe that made progress", () => {
    const bench = diesWithoutProgress(started(), 0, 1, 2, 3, 4);
    const at = 2 * policy.windowMs;
    bench.timer("probe", at).up(at).work(at).die(at);
    expect(bench.state.kind).toBe("starting");
    diesWithoutProgress(bench, at + 1);
    expect(bench.state).toMatchObject({ kind: "backoff", attempt: 0 });
  });

  it("start with a clean slate after a stop", () => {
    const bench = diesWithoutProgress(started(), 0, 1, 2, 3, 4).say(
      { kind: "stop" },
      { kind: "start" },
    );
    diesWithoutProgress(bench, 5);
    expect(bench.state).toMatchObject({ kind: "backoff", attempt: 0 });
  });

  it("remember no more deaths than decide", () => {
    const bench = started();
    for (let death = 0; death < 100; death += 1) {
      if (bench.state.kind === "broken") bench.timer("probe", death);
      if (bench.state.kind === "backoff") bench.timer("backoff", death);
      bench.die(death);
    }
    const { memory } = bench.state;
    expect(memory.deaths.length).toBeLessThanOrEqual(policy.deathsMax);
    expect(memory.deathsWithoutProgress.length).toBeLessThanOrEqual(
      policy.deathsWithoutProgressMax,
    );
  });
});
