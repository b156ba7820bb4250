/** Timelines of requests, and what an operator sees and does, on an engine with simulated workers or on commands alone. */
import { describe, expect, it } from "vitest";
import { Timelines } from "../../../src-ts/engine/timelines.js";
import type { Command } from "../../../src-ts/machines/Orchestrator.js";

function recorded() {
  let now = 0;
  const clock = { now: () => now, wall: () => 5_000 + now } as never;
  const timelines = new Timelines(clock);
  const take = (at: number, command: Command) => {
    now = at;
    timelines.take(command);
  };
  return { timelines, take };
}

const lease = (requestId: string, workerId: string, slot: number): Command => ({
  ...{ kind: "lease", requestId, workerId, slot, first: true },
});

describe("a timeline", () => {
  it("tells what happened and when, once a step and not once a token", () => {
    const { timelines, take } = recorded();
    timelines.arrived("r", "m", "normal");
    take(1, { kind: "prepare", workerId: "w1", slot: 1, requestId: "r" });
    take(2, {
      kind: "size",
      requestId: "r",
      tokensMax: 9,
      cost: { promptTokens: 7, newTokens: 9, kvBytes: 1 },
    });
    take(2, { kind: "accept", requestId: "r" });
    take(3, lease("r", "w1", 5));
    take(4, { kind: "cached", requestId: "r", tokens: 4 });
    take(6, { kind: "append", requestId: "r", slot: 5, count: 1 });
    take(7, { kind: "append", requestId: "r", slot: 5, count: 1 });
    take(8, { kind: "release", slot: 5 });
    take(8, { kind: "migrated", requestId: "r", attempt: 1, loss: "exited" });
    take(9, lease("r", "w2", 6));
    take(11, { kind: "append", requestId: "r", slot: 6, count: 1 });
    take(12, { kind: "abort", workerId: "w2", slot: 6 });
    expect(timelines.attemptsOf("r")).toBe(2);
    expect(timelines.get("r")).toMatchObject({ live: true, arrivedAtMs: 5_000 });
    take(13, {
      kind: "close",
      requestId: "r",
      finish: { kind: "cancelled" },
      explanation: { kind: "none" },
    });
    const { live, transitions } = timelines.get("r")!;
    expect([live, timelines.get("r")!.emitted]).toEqual([false, 3]);
    expect(transitions.map(({ event, afterMs }) => `${event} ${afterMs}`)).toEqual([
      ...["arrived 0", "preparing 1", "prepared 2", "accepted 2", "dispatched 3", "prefilling 4"],
      ...["decoding 6", "migrated 8", "dispatched 9", "decoding 11", "cancelling 12", "ended 13"],
    ]);
    expect(transitions.at(-1)).toMatchObject({ finish: "cancelled" });
  });

  it("is bounded, and so are those of the ended", () => {
    const { timelines, take } = recorded();
    timelines.arrived("r", "m", "normal");
    for (let i = 0; i < 200; i++) take(i, lease("r", "w1", i));
    take(201, { kind: "turnAway", requestId: "r", explanation: { kind: "queueFull" } });
    const { transitions, omitted } = timelines.get("r")!;
    expect([transitions.length, omitted]).toEqual([64, 138]);
    expect(transitions.at(-1)).toMatchObject({ event: "turnedAway", reason: "queueFull" });
    for (let i = 0; i < 600; i++) {
      timelines.arrived(`e${i}`, "m", "normal");
      take(300, {
        kind: "close",
        requestId: `e${i}`,
        finish: { kind: "stop" },
        explanation: { kind: "none" },
      });
    }
    expect(timelines.get("r")).toBeUndefined();
    expect(timelines.get("e88")).toBeDefined();
    expect(timelines.recent(2).map(({ id }) => id)).toEqual(["e599", "e598"]);
  });
});
