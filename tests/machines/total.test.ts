import { describe, expect, it } from "vitest";
import * as Batch from "../../src-ts/machines/Batch.js";
import * as Request from "../../src-ts/machines/Request.js";
import * as Worker from "../../src-ts/machines/Worker.js";
import * as batch from "./specimens/Batch.js";
import * as request from "./specimens/Request.js";
import * as worker from "./specimens/Worker.js";
import { all, deepFreeze, type Outcome, type Specimens } from "./support.js";

type Kinded = { kind: string };

function isTotal<S extends Kinded, E extends Kinded, F, R>(
  transition: (state: S, event: E) => Outcome<S, F, R>,
  specimens: { states: Specimens<S>; events: Specimens<E> },
): void {
  for (const { value: state } of all<S>(specimens.states))
    for (const { value: event } of all<E>(specimens.events)) {
      const before = JSON.stringify([state, event]);
      const outcome = transition(deepFreeze(state), deepFreeze(event));
      expect(JSON.stringify([state, event])).toBe(before);
      expect(transition(state, event), "the same again").toEqual(outcome);
      if (!outcome.ok) {
        expect(outcome.rejection).toHaveProperty("kind");
        continue;
      }
      expect(Object.keys(specimens.states)).toContain(outcome.state.kind);
      if (outcome.state === state) {
        expect(outcome.effects, `${state.kind} swallowed ${event.kind}`).not.toEqual([]);
      }
    }
}

describe("every state answers every event", () => {
  it("Request", () => isTotal(Request.transition, request));
  it("Batch", () => isTotal(Batch.transition, batch));
  it("Worker", () => isTotal(Worker.transition, worker));
});

describe("every kind of state is left or final", () => {
  const finals = (
    transition: (state: never, event: never) => Outcome<Kinded, unknown, unknown>,
    { states, events }: { states: object; events: object },
  ) =>
    Object.entries(states as Record<string, readonly { value: never }[]>)
      .filter(([kind, from]) =>
        from.every(({ value: state }) =>
          Object.values(events as Record<string, readonly { value: never }[]>)
            .flat()
            .every(({ value: event }) => {
              const outcome = transition(state, event);
              return !outcome.ok || outcome.state.kind === kind;
            }),
        ),
      )
      .map(([kind]) => kind);

  it("Request: done", () => expect(finals(Request.transition, request)).toEqual(["done"]));
  it("Batch: closed", () => expect(finals(Batch.transition, batch)).toEqual(["closed"]));
  it("Worker: none", () => expect(finals(Worker.transition, worker)).toEqual([]));
});
