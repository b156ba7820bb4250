/** Who asks, and what is asked beside the body. */
import type { Origin, Priority } from "../../engine/api.js";

export interface Caller {
  /** Whose responses these are. */
  owner: string;
  /** Who shares fairly: the key, else the address. */
  clientId: string;
  /** Undefined: the engine's default. */
  priority: Priority | undefined;
  /** From now on; undefined: none. */
  deadlineMs: number | undefined;
  idempotencyKey: string | undefined;
  origin: Origin;
  /** Told of each place in a tool's schema that is not enforced. Undefined: there must be none. */
  drop?: ((param: string) => void) | undefined;
}

/** What of a submission comes from the caller. */
export function callerFields({ owner, clientId, priority, deadlineMs, origin }: Caller) {
  return { owner, clientId, priority, deadlineMs, origin };
}
