/**
 * Schemas that may be kept to in part: what can't be enforced is left out, keyword by keyword, and named. What
 * is no JSON Schema, or can't be meant, is refused as everywhere.
 */
import { enforceable } from "./index.js";
import { isFields } from "./parts.js";
import { type Path, Unenforceable } from "./refusal.js";

export interface Loosened {
  /** As a worker gets it. */
  text: string;
  /** What is not enforced of it, from the body's root. */
  dropped: readonly Path[];
}

/** Throws 400. `droppedMax`: more places than that are a refusal. */
export function loosened(schema: unknown, path: Path, droppedMax: number): Loosened {
  const dropped: Path[] = [];
  let rest = schema;
  for (;;) {
    try {
      return { text: enforceable(rest, path), dropped };
    } catch (error) {
      if (!(error instanceof Unenforceable) || dropped.length >= droppedMax) throw error;
      const steps = error.place.slice(path.length);
      if (steps.length === 0) throw error;
      rest = without(rest, steps);
      dropped.push(error.place);
    }
  }
}

/** A copy without what stands there. One of several schemas, where they may overlap, is any of them. */
function without(value: unknown, [step, ...rest]: readonly PropertyKey[]): unknown {
  if (Array.isArray(value)) {
    const at = Number(step);
    if (rest.length === 0) return value.filter((_, index) => index !== at);
    return value.map((one, index) => (index === at ? without(one, rest) : one));
  }
  if (!isFields(value)) return value;
  const key = String(step);
  const entries = Object.entries(value).flatMap(([name, one]): [string, unknown][] => {
    if (name !== key) return [[name, one]];
    if (rest.length > 0) return [[name, without(one, rest)]];
    return key === "oneOf" && value.anyOf === undefined ? [["anyOf", one]] : [];
  });
  return Object.fromEntries(entries);
}
