/** POST and DELETE /admin/session. */
import { z } from "zod";

/** Nothing needs to be said; what is said must be known. */
export const SessionBody = z.strictObject({}).nullish();

export const ConsoleSession = z.strictObject({
  /** Sent as `Authorization: Bearer` in place of the key that opened it. */
  token: z.string(),
  /** Seconds from now. */
  expires_in: z.int(),
});
export type ConsoleSession = z.infer<typeof ConsoleSession>;

export const SessionEnded = z.strictObject({ ended: z.literal(true) });
