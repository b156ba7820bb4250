import type { Event, State } from "../../../src-ts/machines/Request.js";
import { type Specimens, specimen } from "../support.js";

const lease = { workerId: "w1", epoch: 2 } as const;
const older = { workerId: "w1", epoch: 1 } as const;
const elsewhere = { workerId: "w2", epoch: 2 } as const;

const fresh = {
  promptTokens: 8,
  emitted: 0,
  highWater: 0,
  retriesWithoutProgress: 0,
  doubts: 0,
  alone: false,
} as const;
const out = {
  promptTokens: 8,
  emitted: 3,
  highWater: 11,
  retriesWithoutProgress: 0,
  doubts: 0,
  alone: false,
} as const;
const struck = { ...out, retriesWithoutProgress: 1 } as const;
const doubtful = { ...out, doubts: 1 } as const;
const alone = { ...out, retriesWithoutProgress: 2, alone: true } as const;

export const states: Specimens<State> = {
  preparing: [
    specimen({ kind: "preparing", deaths: 0, stored: false }, "no death"),
    specimen({ kind: "preparing", deaths: 1, stored: false }, "a suspect"),
    specimen({ kind: "preparing", deaths: 0, stored: true }, "no death, to be stored"),
    specimen({ kind: "preparing", deaths: 1, stored: true }, "a suspect, to be stored"),
  ],
  storing: [specimen({ kind: "storing", promptTokens: 8 })],
  queued: [
    specimen({ kind: "queued", epoch: 2, tally: fresh }, "nothing emitted"),
    specimen(
      { kind: "queued", epoch: 2, tally: alone },
      "tokens out, two retries without progress",
    ),
  ],
  prefilling: [
    specimen(
      { kind: "prefilling", lease, tally: fresh, highWaterAtStart: 0, done: 4, total: 8 },
      "first try, high water not passed",
    ),
    specimen(
      {
        kind: "prefilling",
        lease,
        tally: { ...fresh, highWater: 4 },
        highWaterAtStart: 0,
        done: 4,
        total: 8,
      },
      "high water passed",
    ),
  ],
  decoding: [
    specimen({ kind: "decoding", lease, tally: out, highWaterAtStart: 8 }, "high water passed"),
    specimen(
      { kind: "decoding", lease, tally: out, highWaterAtStart: 11 },
      "high water not passed",
    ),
    specimen(
      { kind: "decoding", lease, tally: struck, highWaterAtStart: 11 },
      "high water not passed, one retry without progress",
    ),
    specimen(
      { kind: "decoding", lease, tally: doubtful, highWaterAtStart: 11 },
      "high water not passed, one doubt",
    ),
    specimen(
      { kind: "decoding", lease, tally: alone, highWaterAtStart: 11 },
      "high water not passed, two retries without progress",
    ),
  ],
  cancelling: [
    specimen(
      { kind: "cancelling", lease, tally: out, highWaterAtStart: 8, cause: "cancelled" },
      "by the client",
    ),
    specimen(
      { kind: "cancelling", lease, tally: out, highWaterAtStart: 8, cause: "expired" },
      "by its deadline",
    ),
    specimen(
      { kind: "cancelling", lease, tally: out, highWaterAtStart: 8, cause: "shutdown" },
      "by a shutdown",
    ),
    specimen(
      { kind: "cancelling", lease, tally: out, highWaterAtStart: 8, cause: "preempted" },
      "by preemption, high water passed",
    ),
    specimen(
      { kind: "cancelling", lease, tally: alone, highWaterAtStart: 11, cause: "preempted" },
      "by preemption, high water not passed, two retries without progress",
    ),
  ],
  done: [specimen({ kind: "done", finish: { kind: "stop" }, emitted: 3 })],
};

export const events: Specimens<Event> = {
  prepared: [
    specimen({ kind: "prepared", promptTokens: 8 }),
    specimen({ kind: "prepared", promptTokens: 0 }, "no tokens"),
  ],
  unpreparable: [specimen({ kind: "unpreparable", code: "context_length_exceeded" })],
  preparerLost: [
    specimen({ kind: "preparerLost", loss: "exited" }, "exited"),
    specimen({ kind: "preparerLost", loss: "outOfMemory" }, "out of memory"),
    specimen({ kind: "preparerLost", loss: "stopped" }, "stopped by us"),
  ],
  restored: [
    specimen({ kind: "restored", promptTokens: 8, emitted: 3 }),
    specimen({ kind: "restored", promptTokens: 0, emitted: 0 }, "no tokens"),
  ],
  stored: [specimen({ kind: "stored" })],
  unstorable: [specimen({ kind: "unstorable" })],
  cancel: [specimen({ kind: "cancel" })],
  dispatch: [specimen({ kind: "dispatch", workerId: "w1" })],
  preempt: [specimen({ kind: "preempt" })],
  unplaceable: [specimen({ kind: "unplaceable", code: "memory_budget_exceeded" })],
  deadline: [specimen({ kind: "deadline" })],
  shutdown: [specimen({ kind: "shutdown" })],
  progress: [
    specimen({ kind: "progress", lease, done: 8, total: 8 }, "forward"),
    specimen({ kind: "progress", lease, done: 3, total: 8 }, "backward"),
    specimen({ kind: "progress", lease, done: 13, total: 12 }, "beyond the total"),
    specimen({ kind: "progress", lease: older, done: 8, total: 8 }, "older lease"),
    specimen({ kind: "progress", lease: elsewhere, done: 8, total: 8 }, "from another worker"),
  ],
  tokens: [
    specimen({ kind: "tokens", lease, index: 0, count: 2 }, "index 0"),
    specimen({ kind: "tokens", lease, index: 3, count: 2 }, "index 3"),
    specimen({ kind: "tokens", lease, index: 3, count: 0 }, "none"),
    specimen({ kind: "tokens", lease: older, index: 3, count: 1 }, "older lease"),
    specimen({ kind: "tokens", lease: elsewhere, index: 3, count: 1 }, "from another worker"),
  ],
  ended: [
    specimen({ kind: "ended", lease, finish: { kind: "length" } }, "a worker's end"),
    specimen({ kind: "ended", lease, finish: { kind: "cancelled" } }, "not a worker's to say"),
    specimen({ kind: "ended", lease: older, finish: { kind: "stop" } }, "older lease"),
    specimen({ kind: "ended", lease: elsewhere, finish: { kind: "stop" } }, "from another worker"),
  ],
  aborted: [
    specimen({ kind: "aborted", lease }, "this lease"),
    specimen({ kind: "aborted", lease: older }, "older lease"),
    specimen({ kind: "aborted", lease: elsewhere }, "from another worker"),
  ],
  lost: [
    specimen({ kind: "lost", lease, loss: "exited", beside: false }, "exited"),
    specimen({ kind: "lost", lease, loss: "exited", beside: true }, "exited with others on it"),
    specimen({ kind: "lost", lease, loss: "outOfMemory", beside: false }, "out of memory"),
    specimen({ kind: "lost", lease, loss: "stopped", beside: false }, "stopped by us"),
    specimen({ kind: "lost", lease: older, loss: "exited", beside: false }, "older lease"),
    specimen(
      { kind: "lost", lease: elsewhere, loss: "exited", beside: false },
      "from another worker",
    ),
  ],
  refused: [
    specimen({ kind: "refused", lease, code: "invalid_prompt" }, "this lease"),
    specimen({ kind: "refused", lease: older, code: "invalid_prompt" }, "older lease"),
    specimen({ kind: "refused", lease: elsewhere, code: "invalid_prompt" }, "from another worker"),
  ],
};
