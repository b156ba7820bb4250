/** A mistake that is made on purpose: what one is, and the smallest configurations that most of them show in. */
import { type Configuration, everything, together } from "./configuration.js";

export interface Mutation {
  readonly name: string;
  /** A compiled module of `src-res`. */
  readonly file: string;
  readonly find: string;
  readonly replace: string;
  readonly configuration: Configuration;
  /** What the broken law says. */
  readonly caught: RegExp;
}

export const small: Configuration = {
  ...together,
  framesPerTurnMax: 1,
  faultsMax: 1,
  faults: ["die"],
};
export const restarting: Configuration = { ...small, faults: [], faultsMax: 0, ordersMax: 2 };
export const ghosts: Configuration = {
  ...everything,
  liberties: [],
  ordersMax: 0,
  faults: ["die", "ghost"],
};
export const closing: Configuration = { ...small, faults: [], faultsMax: 0, liberties: ["close"] };

export function mutation(
  name: string,
  module: string,
  [find, replace]: readonly [string, string],
  caught: RegExp,
  configuration: Configuration = small,
): Mutation {
  const file = `src-res/${module}.res.mjs`;
  return { name, file, find, replace, configuration, caught };
}
