/** Rows of the live view: stages, progress, and what of a timeline stays when a request has ended. */
import { expect, it } from "vitest";
import { rowsOf, shortId } from "../../../../src-ts/console/live/rows.js";
import type { RequestRow, Timeline } from "../../../../src-ts/protocol/live.js";

const request = (
  id: string,
  state: RequestRow["state"],
  rest: Partial<RequestRow> = {},
): RequestRow => ({
  ...{ id, state, model: "m", priority: "normal", arrivedAtMs: 1_000, cachedTokens: 0 },
  ...{ emitted: 0, attempts: 0, ...rest },
});

const timeline = (id: string, ...events: Timeline["transitions"]): Timeline => ({
  ...{ id, model: "m", priority: "normal", arrivedAtMs: 0, live: false, emitted: 9, omitted: 0 },
  transitions: events,
});

it("move from stage to stage", () => {
  const requests = [
    request("a", "preparing"),
    request("b", "storing"),
    request("c", "queued"),
    request("d", "prefilling", { prefill: { done: 50, total: 200 }, attempts: 1 }),
    request("e", "decoding", { emitted: 30, maxTokens: 40, attempts: 3 }),
    request("f", "cancelling"),
  ];
  const rows = rowsOf({ requests, ended: [] }, 3_500);
  expect(rows.map(({ stage }) => stage)).toEqual([
    ...["preparing", "preparing", "queued", "prefill", "decode", "decode"],
  ]);
  expect(rows.map(({ progress }) => progress)).toEqual([
    ...[undefined, undefined, undefined, 0.25, 0.75, undefined],
  ]);
  expect(rows.map(({ migrations }) => migrations)).toEqual([0, 0, 0, 0, 2, 0]);
  expect(rows[0]!.ageMs).toBe(2_500);
});

it("stay for a while, with how they ended", () => {
  const ended = [
    timeline(
      "x",
      { event: "dispatched", afterMs: 1, workerId: "w1", attempt: 1 },
      { event: "migrated", afterMs: 5, attempt: 1, reason: "exited" },
      { event: "dispatched", afterMs: 6, workerId: "w2", attempt: 2 },
      { event: "decoding", afterMs: 9, workerId: "w2" },
      { event: "ended", afterMs: 20, finish: "failed", code: "worker_crashed" },
    ),
    timeline("y", { event: "turnedAway", afterMs: 2, reason: "queueFull" }),
    timeline("live", { event: "ended", afterMs: 1, finish: "stop" }),
  ];
  const rows = rowsOf({ requests: [request("live", "queued")], ended }, 0);
  expect(rows.map(({ id, live }) => [id, live])).toEqual([
    ["live", true],
    ["x", false],
    ["y", false],
  ]);
  expect(rows[1]).toMatchObject({
    ...{ stage: "done", state: "failed", failed: true, workerId: "w2", migrations: 1 },
    ...{ ttftMs: 9, ageMs: 20 },
  });
  expect(rows[2]).toMatchObject({ state: "turnedAway", failed: true, emitted: 9 });
});

it("ids are short, and still tell requests apart", () => {
  expect(shortId("resp_1")).toBe("resp_1");
  expect(shortId("resp_0123456789abcdef0123")).toBe("resp_0123…0123");
});
