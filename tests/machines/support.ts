/** What the tests and the documentation of the machines share. */

/** One example, and in words what is special about it. */
export interface Specimen<T> {
  readonly value: T;
  readonly when: string;
}

/** At least one specimen per kind, one per side of each guard; a missing kind does not compile. */
export type Specimens<U extends { kind: string }> = {
  [K in U["kind"]]: readonly [
    Specimen<Extract<U, { kind: K }>>,
    ...Specimen<Extract<U, { kind: K }>>[],
  ];
};

export const specimen = <const T>(value: T, when = ""): Specimen<T> => ({ value, when });

/** What every machine gives back. */
export type Outcome<State, Effect, Rejection> =
  | { ok: true; state: State; effects: Effect[] }
  | { ok: false; rejection: Rejection };

/** In strict mode a write to a frozen object throws: that is how mutation shows. */
export function deepFreeze<T>(value: T): T {
  if (typeof value === "object" && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const inner of Object.values(value)) deepFreeze(inner);
  }
  return value;
}

/** The accepted side of an outcome; a rejection fails the test with what was rejected. */
export function accepted<S, E, R>(outcome: Outcome<S, E, R>): { state: S; effects: E[] } {
  if (!outcome.ok) throw new Error(`rejected: ${JSON.stringify(outcome.rejection)}`);
  return outcome;
}

export function all<U extends { kind: string }>(specimens: Specimens<U>): Specimen<U>[] {
  return Object.values(specimens).flat() as Specimen<U>[];
}
