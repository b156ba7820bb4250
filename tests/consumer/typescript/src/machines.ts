// A program that plays one request through its machine, and plans where it goes.
import assert from "node:assert/strict";
import * as Batch from "mlx-serving/machines/Batch";
import * as Request from "mlx-serving/machines/Request";
import * as Scheduler from "mlx-serving/machines/Scheduler";
import * as schemas from "mlx-serving/machines/schemas";
import * as Worker from "mlx-serving/machines/Worker";

const budget: Batch.Budget = { members: 4, kvBytes: 1e9, prefillTokens: 2048 };
const { decisions } = Scheduler.plan({
  queue: [
    {
      requestId: "r1",
      clientId: "me",
      key: "model",
      priority: "interactive",
      arrivedAt: 0,
      deadlineAt: Number.POSITIVE_INFINITY,
      cost: { promptTokens: 5, newTokens: 16, kvBytes: 4096 },
      alone: false,
      begun: false,
      prefixes: [],
    },
  ],
  workers: [
    {
      workerId: "w1",
      key: "model",
      capacity: budget,
      free: budget,
      held: false,
      preparing: false,
      running: [],
    },
  ],
  shares: [],
  now: 0,
  policy: Scheduler.defaultPolicy,
});
const [decision] = decisions;
assert(decision?.kind === "dispatch");

const { workerId } = decision;
const first: Request.Lease = { workerId, epoch: 1 };
const second: Request.Lease = { workerId, epoch: 2 };
const events: Request.Event[] = [
  { kind: "prepared", promptTokens: 5 },
  { kind: "dispatch", workerId },
  { kind: "tokens", lease: first, index: 0, count: 2 },
  { kind: "lost", lease: first, loss: "exited", beside: false },
  { kind: "dispatch", workerId },
  { kind: "tokens", lease: first, index: 2, count: 1 },
  { kind: "ended", lease: second, finish: { kind: "stop" } },
];

let state = Request.initial;
const done: string[] = [];
for (const event of events) {
  const outcome = Request.transition(state, schemas.Request.event.parse(event));
  done.push(...(outcome.ok ? outcome.effects : [outcome.rejection]).map(({ kind }) => kind));
  if (outcome.ok) state = outcome.state;
}
const kinds = ["accept", "start", "emit", "requeue", "migrated", "start", "stale", "close"];
assert.deepEqual(done, kinds);
assert.deepEqual(state, { kind: "done", finish: { kind: "stop" }, emitted: 2 });

/** Every state has its words: a state that is left out does not compile. */
function words(one: Worker.State): string {
  switch (one.kind) {
    case "stopped":
    case "backoff":
      return "no process";
    case "broken":
      return `gave up: ${one.reason}`;
    case "starting":
    case "loading":
    case "stopping":
      return `process ${one.pid}`;
    case "ready":
    case "suspect":
    case "draining":
      return `${one.liveness.pending} requests`;
    default: {
      const never: never = one;
      return never;
    }
  }
}
const started = Worker.transition(Worker.initial(Worker.defaultPolicy), { kind: "start" });
assert(started.ok);
assert.equal(words(started.state), "process 0");
assert.equal(
  schemas.Request.clientEvent.safeParse({ kind: "aborted", lease: first }).success,
  false,
);
assert.deepEqual(Batch.free(Batch.initial({ key: "model", budget, windowMs: 0 })), budget);
process.stdout.write("machines: alive and well\n");
