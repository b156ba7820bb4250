import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Event } from "../../src-ts/machines/Worker.js";
import { defaultPolicy as policy, protocol } from "../../src-ts/machines/Worker.js";
import { World } from "./Worker.world.js";

type Step = (world: World) => void;

const word = fc.constantFrom<(epoch: number, at: number) => Event>(
  (epoch) => ({ kind: "spawned", epoch, pid: 9 }),
  (epoch) => ({ kind: "hello", epoch, protocol }),
  (epoch) => ({ kind: "loadProgress", epoch, done: 1, total: 2 }),
  (epoch, at) => ({ kind: "loaded", epoch, at }),
  (epoch) => ({ kind: "loadFailed", epoch }),
  (epoch) => ({ kind: "outOfMemory", epoch }),
  (epoch, at) => ({ kind: "progressed", epoch, at }),
  (epoch, at) => ({ kind: "busy", epoch, allowanceMs: 1, at }),
  (epoch) => ({ kind: "violated", epoch }),
  (epoch) => ({ kind: "closed", epoch }),
  (epoch, at) => ({ kind: "pending", epoch, count: 1, preparing: 0, at }),
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
    arbitrary: fc.tuple(fc.nat(3), fc.nat(3)).map(
      ([count, preparing]): Step =>
        (world) =>
          world.hold(count, Math.min(count, preparing)),
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
