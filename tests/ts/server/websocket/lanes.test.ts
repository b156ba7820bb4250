import { describe, expect, it } from "vitest";
import { ServingError } from "../../../../src-ts/errors.js";
import { LaneQueue } from "../../../../src-ts/server/websocket/lanes.js";

describe("lanes", () => {
  it("start the next job once, however often the last one says that it is done", () => {
    const started: number[] = [];
    const dones: (() => void)[] = [];
    let emptied = 0;
    const limits = { lanesPerSocketMax: 2, queuedPerLaneMax: 9, requestsPerSocketMax: 9 };
    const lanes = new LaneQueue(limits, () => emptied++);
    for (let i = 0; i < 3; i++) {
      lanes.add("a", {
        run: (done) => {
          started.push(i);
          dones.push(done);
        },
        refuse: () => {},
      });
    }
    dones[0]!();
    dones[0]!();
    expect(started).toEqual([0, 1]);
    dones[1]!();
    dones[2]!();
    expect(started).toEqual([0, 1, 2]);
    expect([emptied, lanes.isEmpty]).toEqual([1, true]);
  });

  it("that are broken off tell what waits in them, and take new jobs", () => {
    const limits = { lanesPerSocketMax: 2, queuedPerLaneMax: 2, requestsPerSocketMax: 9 };
    const lanes = new LaneQueue(limits, () => {});
    const refused: string[] = [];
    let done = (): void => {};
    let started = 0;
    const job = (name: string) => ({
      run: (whenDone: () => void) => {
        started++;
        done = whenDone;
      },
      refuse: ({ code }: ServingError) => refused.push(`${name} ${code}`),
    });
    for (const name of ["first", "second", "third"]) lanes.add("a", job(name));
    lanes.abandon("a", new ServingError("no", { code: "storage_unavailable", status: 503 }));
    done();
    expect(refused).toEqual(["second storage_unavailable", "third storage_unavailable"]);
    expect([started, lanes.isEmpty]).toEqual([1, true]);
    lanes.add("a", job("fourth"));
    expect(started).toBe(2);
  });
});
