/** POST /v1/ws-tickets. */
import { z } from "zod";

/** Nothing needs to be said; what is said must be known. */
export const TicketBody = z.strictObject({}).nullish();

export const WebSocketTicket = z.strictObject({
  /** For `?ticket=` of the upgrade; opens one socket. */
  ticket: z.string(),
  /** Unix seconds, by the server's clock. */
  expires_at: z.int(),
  /** Seconds from now: for those whose clock is another. */
  expires_in: z.int(),
});
export type WebSocketTicket = z.infer<typeof WebSocketTicket>;
