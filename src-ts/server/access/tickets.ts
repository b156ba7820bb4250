/**
 * One-time tickets for WebSockets of browsers, which can send no header with an upgrade. A ticket stands
 * for whoever asked for it; presenting it spends it, whatever becomes of the upgrade. Kept as hashes,
 * never logged, never in an error.
 */
import { createHash, randomBytes } from "node:crypto";
import { failure } from "../../failures.js";
import type { WebSocketTicket } from "../../protocol/tickets.js";
import type { ServerLimits } from "../options.js";
import type { Asker } from "./keys.js";

type TicketLimits = Pick<ServerLimits, "ticketLifeMs" | "ticketsPerClientMax" | "ticketsMax">;

interface Outstanding {
  identity: Asker;
  /** On the monotonic clock. */
  expiresAtMs: number;
}

const ticketBytes = 32;

function digest(ticket: string): string {
  return createHash("sha256").update(ticket).digest("base64");
}

export class Tickets {
  /** By hash, in the order of their end: all live equally long. */
  private readonly outstanding = new Map<string, Outstanding>();
  private readonly perClient = new Map<string, number>();

  constructor(
    private readonly limits: TicketLimits,
    private readonly now: () => number = () => performance.now(),
  ) {}

  /** Tickets that could still be used. */
  get size(): number {
    this.dropExpired();
    return this.outstanding.size;
  }

  /** Throws 429 when this client, or all together, hold too many. */
  issue(identity: Asker): WebSocketTicket {
    this.dropExpired();
    this.checkRoom(identity.clientId);
    const ticket = randomBytes(ticketBytes).toString("base64url");
    const { ticketLifeMs } = this.limits;
    this.outstanding.set(digest(ticket), { identity, expiresAtMs: this.now() + ticketLifeMs });
    this.count(identity.clientId, 1);
    return {
      ticket,
      expires_at: Math.floor((Date.now() + ticketLifeMs) / 1000),
      expires_in: Math.floor(ticketLifeMs / 1000),
    };
  }

  /**
   * Throws 401 for one that is unknown, spent or expired. It is looked up by its hash: how long that
   * takes says nothing about a ticket that one doesn't have.
   */
  redeem(ticket: string): Asker {
    this.dropExpired();
    const hash = digest(ticket);
    const found = this.outstanding.get(hash);
    if (found === undefined) throw failure("invalid_ticket", { param: "ticket" });
    this.drop(hash, found);
    return found.identity;
  }

  private checkRoom(clientId: string): void {
    const { ticketsPerClientMax, ticketsMax, ticketLifeMs } = this.limits;
    const own = (this.perClient.get(clientId) ?? 0) >= ticketsPerClientMax;
    if (!own && this.outstanding.size < ticketsMax) return;
    const held = own ? `You hold ${ticketsPerClientMax}` : `There are ${ticketsMax}`;
    throw failure("too_many_tickets", {
      message: `${held} unused tickets already: use them, or let them expire.`,
      retryAfterS: Math.ceil(ticketLifeMs / 1000),
    });
  }

  private dropExpired(): void {
    const now = this.now();
    for (const [hash, one] of this.outstanding) {
      if (one.expiresAtMs > now) return;
      this.drop(hash, one);
    }
  }

  private drop(hash: string, { identity }: Outstanding): void {
    this.outstanding.delete(hash);
    this.count(identity.clientId, -1);
  }

  private count(clientId: string, change: number): void {
    const count = (this.perClient.get(clientId) ?? 0) + change;
    if (count === 0) this.perClient.delete(clientId);
    else this.perClient.set(clientId, count);
  }
}
