import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Effect, Event, State, Timer } from "../../src-ts/machines/Worker.js";
import { defaultPolicy, initial, protocol, transition } from "../../src-ts/machines/Worker.js";
import { deepFreeze } from "./support.js";

const policy = defaultPolicy;
const capabilities = { contextMax: 1, kvBytesPerToken: 1, kvBytesFixed: 0, weightsBytes: 1 };

interface Process {
  readonly epoch: number;
  told: boolean;
  greeted: boolean;
  loaded: boolean;
  linked: boolean;
  /** It was asked to stop, or killed: it may go now. */
  ordered: boolean;
}

/**
 * A worker machine, an operating system and a clock. Timers fire when they are due, processes live
 * from `spawn` to their exit, nobody says what it could not say. Each law is checked at each step.
 */
class World {
  state: State = initial(policy);
  now = 0;
  process: Process | undefined;
  readonly timers = new Map<Timer, number>();
  private readonly lost = new Set<number>();
  private readonly wasReady = new Set<number>();
  private available = false;

  say(event: Event): boolean {
    const outcome = transition(deepFreeze(this.state), deepFreeze(event));
    if (!outcome.ok) {
      if (outcome.rejection.kind === "illegal")
        throw new Error(`illegal: ${JSON.stringify([this.state, event])}`);
      return false;
    }
    this.state = outcome.state;
    for (const effect of outcome.effects) this.obey(effect);
    this.check();
    return true;
  }

  get epoch(): number {
    return this.state.memory.epoch;
  }

  private obey(effect: Effect): void {
    if ("epoch" in effect) expect(effect.epoch, "no order for another epoch").toBeGreaterThan(0);
    switch (effect.kind) {
      case "spawn":
        expect(this.process, "one live process").toBeUndefined();
        this.process = {
          epoch: effect.epoch,
          told: false,
          greeted: false,
          loaded: false,
          linked: true,
          ordered: false,
        };
        return;
      case "askStop":
      case "kill":
        expect(this.process?.epoch).toBe(effect.epoch);
        this.process!.ordered = true;
        return;
      case "load":
      case "askDrain":
        expect(this.process?.epoch).toBe(effect.epoch);
        return;
      case "arm":
        expect(effect.ms).toBeGreaterThanOrEqual(0);
        this.timers.set(effect.timer, this.now + effect.ms);
        return;
      case "disarm":
        this.timers.delete(effect.timer);
        return;
      case "available":
        expect(this.available, "available and unavailable alternate").toBe(false);
        this.available = true;
        this.wasReady.add(effect.epoch);
        return;
      case "unavailable":
        expect(this.available, "available and unavailable alternate").toBe(true);
        this.available = false;
        return;
      case "lose":
        expect(this.wasReady.has(effect.epoch), "only what was ready is lost").toBe(true);
        expect(this.lost.has(effect.epoch), "and once").toBe(false);
        this.lost.add(effect.epoch);
        return;
      case "report":
        return;
    }
  }

  private check(): void {
    expect([...this.timers.keys()].toSorted()).toEqual(timersOf(this.state).toSorted());
    expect(this.available).toBe(this.state.kind === "ready");
    const living = !["stopped", "backoff", "broken"].includes(this.state.kind);
    expect(this.process !== undefined, "a process exactly while one is expected").toBe(living);
    const up = ["ready", "suspect", "draining"].includes(this.state.kind);
    const wrong = [...this.wasReady].filter(
      (epoch) => this.lost.has(epoch) === (up && epoch === this.epoch),
    );
    expect(wrong, "lost exactly once it is no longer up").toEqual([]);
  }

  /** Lets time pass; timers fire on their way. */
  pass(ms: number): void {
    const end = this.now + ms;
    for (let fired = 0; fired < 1_000; fired += 1) {
      const [next] = [...this.timers].toSorted(([, a], [, b]) => a - b);
      if (!next || next[1] > end) break;
      this.fire(next[0]);
    }
    this.now = Math.max(this.now, end);
  }

  fire(timer: Timer): void {
    this.now = Math.max(this.now, this.timers.get(timer)!);
    this.timers.delete(timer);
    this.say({ kind: "timer", timer, at: this.now });
  }

  exit(jitter: number): void {
    if (!this.process) return;
    const { epoch } = this.process;
    this.process = undefined;
    this.say({ kind: "exited", epoch, code: 0, signal: "SIGKILL", at: this.now, jitter });
  }

  /** What a healthy process of this epoch says next on its way up. */
  rise(): void {
    const { process } = this;
    if (!process || process.ordered) return;
    const { epoch } = process;
    if (!process.told) {
      process.told = true;
      this.say({ kind: "spawned", epoch, pid: 7 });
    } else if (!process.greeted) {
      process.greeted = true;
      this.say({ kind: "hello", epoch, protocol });
    } else if (!process.loaded) {
      process.loaded = true;
      this.say({ kind: "loaded", epoch, capabilities, at: this.now });
    }
  }

  /** What only a process that has come so far can say. */
  speak(stage: "greeted" | "loaded", event: (epoch: number, at: number) => Event): void {
    const { process } = this;
    if (!process?.[stage]) return;
    if (stage === "greeted" && process.loaded) return;
    this.say(event(process.epoch, this.now));
  }

  /** The loop tells the load of a worker that is up. */
  hold(count: number): void {
    if (["ready", "suspect", "draining"].includes(this.state.kind))
      this.say({ kind: "pending", epoch: this.epoch, count, at: this.now });
  }

  breakLink(kind: "violated" | "closed"): void {
    if (!this.process?.linked) return;
    this.process.linked = false;
    this.say({ kind, epoch: this.process.epoch });
  }

  ghost(event: (epoch: number, at: number) => Event): void {
    if (this.epoch < 2) return;
    const before = this.state;
    expect(this.say(event(this.epoch - 1, this.now)), "old incarnations are not heard").toBe(false);
    expect(this.state).toBe(before);
  }

  start(): void {
    if (["stopped", "backoff", "broken", "stopping"].includes(this.state.kind))
      this.say({ kind: "start" });
  }

  /** The system does as it was told; a process that was not told to go stays. */
  settle(): void {
    for (let turn = 0; turn < 5 && this.process?.ordered; turn += 1) this.exit(0.5);
  }
}

/** The timers that each state needs, no more and no less. */
function timersOf(state: State): Timer[] {
  switch (state.kind) {
    case "stopped":
      return [];
    case "starting":
      return ["hello"];
    case "loading":
      return ["load"];
    case "ready":
      return state.duty.pending > 0 ? ["watchdog"] : [];
    case "suspect":
      return ["watchdog"];
    case "draining":
      return ["drain", "watchdog"];
    case "stopping":
      return ["stop"];
    case "backoff":
      return ["backoff"];
    case "broken":
      return ["probe"];
  }
}

type Step = (world: World) => void;

const word = fc.constantFrom<(epoch: number, at: number) => Event>(
  (epoch) => ({ kind: "spawned", epoch, pid: 9 }),
  (epoch) => ({ kind: "hello", epoch, protocol }),
  (epoch) => ({ kind: "loadProgress", epoch, done: 1, total: 2 }),
  (epoch, at) => ({ kind: "loaded", epoch, capabilities, at }),
  (epoch) => ({ kind: "loadFailed", epoch }),
  (epoch) => ({ kind: "outOfMemory", epoch }),
  (epoch, at) => ({ kind: "progressed", epoch, at }),
  (epoch, at) => ({ kind: "busy", epoch, allowanceMs: 1, at }),
  (epoch) => ({ kind: "violated", epoch }),
  (epoch) => ({ kind: "closed", epoch }),
  (epoch, at) => ({ kind: "pending", epoch, count: 1, at }),
  (epoch, at) => ({ kind: "exited", epoch, code: 0, signal: "", at, jitter: 0 }),
);

const jitter = fc.double({ min: 0, max: 1, noNaN: true });
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 10, arbitrary: fc.constant<Step>((world) => world.rise()) },
  {
    weight: 6,
    arbitrary: fc.nat(12_000).map(
      (ms): Step =>
        (world) =>
          world.pass(ms),
    ),
  },
  {
    weight: 6,
    arbitrary: fc.nat(3).map(
      (count): Step =>
        (world) =>
          world.hold(count),
    ),
  },
  {
    weight: 6,
    arbitrary: fc.constant<Step>((world) =>
      world.speak("loaded", (epoch, at) => ({ kind: "progressed", epoch, at })),
    ),
  },
  {
    weight: 2,
    arbitrary: fc.tuple(fc.constantFrom("greeted" as const, "loaded" as const), fc.nat(20_000)).map(
      ([stage, allowanceMs]): Step =>
        (world) =>
          world.speak(stage, (epoch, at) => ({ kind: "busy", epoch, allowanceMs, at })),
    ),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom("loadFailed" as const, "outOfMemory" as const).map(
      (kind): Step =>
        (world) =>
          world.speak("greeted", (epoch) => ({ kind, epoch })),
    ),
  },
  {
    weight: 3,
    arbitrary: jitter.map(
      (luck): Step =>
        (world) =>
          world.exit(luck),
    ),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom("violated" as const, "closed" as const).map(
      (kind): Step =>
        (world) =>
          world.breakLink(kind),
    ),
  },
  { weight: 4, arbitrary: fc.constant<Step>((world) => world.start()) },
  {
    weight: 1,
    arbitrary: fc
      .constantFrom<Event>(
        { kind: "stop" },
        { kind: "restart" },
        { kind: "drain", intent: "stop" },
        { kind: "drain", intent: "restart" },
      )
      .map(
        (event): Step =>
          (world) =>
            void world.say(event),
      ),
  },
  {
    weight: 2,
    arbitrary: word.map(
      (event): Step =>
        (world) =>
          world.ghost(event),
    ),
  },
);

function walk(steps: Step[]): World {
  const world = new World();
  world.start();
  for (const take of steps) take(world);
  return world;
}

const walks = fc.array(step, { maxLength: 80 });

describe("Worker, whatever happens", () => {
  it("keeps its laws on every walk, and a stop leads to rest", () => {
    fc.assert(
      fc.property(walks, (steps) => {
        const world = walk(steps);
        world.say({ kind: "stop" });
        world.settle();
        expect(world.state.kind).toBe("stopped");
        expect(world.timers.size).toBe(0);
      }),
      { numRuns: 1_500 },
    );
  });

  it("is stopped by SIGKILL when it does not stop by itself", () => {
    fc.assert(
      fc.property(walks, (steps) => {
        const world = walk(steps);
        world.say({ kind: "stop" });
        if (world.process) {
          world.process.ordered = false;
          world.pass(policy.stopGraceMs);
          expect(world.process.ordered, "killed after the grace").toBe(true);
        }
        world.settle();
        expect(world.state.kind).toBe("stopped");
      }),
      { numRuns: 300 },
    );
  });

  it("comes up again by itself with a healthy process, unless it was told to rest", () => {
    fc.assert(
      fc.property(walks, (steps) => {
        const world = walk(steps);
        const resting = () =>
          world.state.kind === "stopped" ||
          ("intent" in world.state && world.state.intent === "stop");
        if (resting()) return;
        for (let turn = 0; turn < 20 && world.state.kind !== "ready"; turn += 1) {
          world.settle();
          if (world.process) recover(world);
          else for (const timer of [...world.timers.keys()]) world.fire(timer);
        }
        expect(world.state.kind).toBe("ready");
      }),
      { numRuns: 300 },
    );
  });

  it("loses a worker that hangs, within the stall limit and its allowance", () => {
    fc.assert(
      fc.property(fc.nat(30_000), fc.nat(4_000), (allowanceMs, after) => {
        const world = walk([rise, rise, rise, (it) => it.hold(1), (it) => it.pass(after)]);
        world.speak("loaded", (epoch, at) => ({ kind: "busy", epoch, allowanceMs, at }));
        const limit = policy.stallMs + allowanceMs;
        world.pass(limit - 1);
        expect(world.state.kind).not.toBe("stopping");
        world.pass(1);
        expect(world.state).toMatchObject({ kind: "stopping", fault: "stalled" });
      }),
    );
  });

  it("spawns no more often than the window allows, whatever dies", () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.boolean(), jitter), { minLength: 60, maxLength: 60 }),
        (deaths) => {
          const world = walk([]);
          const spawnedAt: number[] = [];
          for (const [useful, luck] of deaths) {
            while (!world.process) world.pass(Math.min(...world.timers.values()) - world.now);
            spawnedAt.push(world.now);
            if (useful) for (const take of [rise, rise, rise, work]) take(world);
            world.exit(luck);
          }
          const inWindow = spawnedAt.map(
            (from) => spawnedAt.filter((at) => at >= from && at < from + policy.windowMs).length,
          );
          // The circuit is open from the deathsMax-th death on, but for one probe each probeMs.
          expect(Math.max(...inWindow)).toBeLessThanOrEqual(
            policy.deathsMax + Math.ceil(policy.windowMs / policy.probeMs) + 1,
          );
        },
      ),
      { numRuns: 30 },
    );
  });
});

function rise(world: World): void {
  world.rise();
}

/** A healthy process comes up, or gets on with what it holds. */
function recover(world: World): void {
  world.rise();
  work(world);
  if (world.state.kind === "draining") world.hold(0);
}

function work(world: World): void {
  world.speak("loaded", (epoch, at) => ({ kind: "progressed", epoch, at }));
}
