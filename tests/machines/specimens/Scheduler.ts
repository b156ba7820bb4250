import type { Decision, Item, PlanInput, Worker } from "../../../src-ts/machines/Scheduler.js";
import { cost, full, input, item, now, policy, running, worker } from "../Scheduler.fixtures.js";

/** A situation worth showing; the decisions are what `plan` makes of it. */
export interface Example {
  readonly title: string;
  readonly given: PlanInput;
}

const example = (
  title: string,
  queue: Item[],
  workers: Worker[],
  more: Partial<PlanInput> = {},
): Example => ({ title, given: input(queue, workers, more) });

const chat = item("chat", { priority: "interactive" });
const oneSlot = worker("w", [], { free: { members: 1, kvBytes: 100, prefillTokens: 200 } });

/** At least one example of every kind of decision, and of making none; a missing one does not compile. */
export const examples: Record<Decision["kind"] | "wait", readonly [Example, ...Example[]]> = {
  dispatch: [
    example(
      "The better class first; what has waited long enough has joined it",
      [
        chat,
        item("fresh", { priority: "batch", arrivedAt: now - policy.ageingMs }),
        item("aged", { priority: "batch", arrivedAt: now - 2 * policy.ageingMs }),
      ],
      [worker("w")],
    ),
    example(
      "Turns are counted in tokens: a costly request of one client, three cheap ones of another",
      [
        item("a1", { clientId: "a", cost: cost({ newTokens: 140 }), arrivedAt: now - 9 }),
        item("b1", { clientId: "b", arrivedAt: now - 8 }),
        item("b2", { clientId: "b", arrivedAt: now - 7 }),
        item("b3", { clientId: "b", arrivedAt: now - 6 }),
      ],
      [worker("v"), worker("w")],
    ),
    example(
      "One slot for two clients: who is served pays, who waits earns",
      [item("a1", { clientId: "a", arrivedAt: now - 9 }), item("b1", { clientId: "b" })],
      [oneSlot],
    ),
    example(
      "The longest cached prefix before the lightest worker",
      [item("a", { prefixes: [{ workerId: "w", tokens: 200 }] })],
      [worker("v"), full("w", "normal", "normal")],
    ),
    example(
      "One that must run alone gets an empty worker",
      [item("suspect", { alone: true, arrivedAt: now - 9 }), item("b")],
      [worker("v"), full("w", "normal")],
    ),
  ],
  preempt: [
    example(
      "For a higher class, the youngest of the lowest class",
      [chat],
      [full("w", "batch", "batch", "normal", "normal")],
    ),
  ],
  refuse: [
    example(
      "Larger than every worker of its key",
      [item("huge", { cost: cost({ kvBytes: 300 }) })],
      [worker("v"), worker("w")],
    ),
  ],
  wait: [
    example(
      "What is small does not pass what is big on the worker that it waits for",
      [item("big", { cost: cost({ kvBytes: 95 }), arrivedAt: now - 9 }), item("small")],
      [full("w", "normal")],
    ),
    example(
      "Room is on its way: nobody else is preempted",
      [chat],
      [
        worker(
          "w",
          [0, 1, 2, 3].map((n) => running(`r${n}`, "batch", { preemptible: n > 0 })),
        ),
      ],
    ),
    example("No worker of its key is up", [item("a", { key: "other" })], [worker("w")]),
  ],
};
