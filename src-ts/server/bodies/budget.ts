/**
 * The bytes of bodies that are in work: arriving, being parsed, or waiting to become a prompt. What is
 * held here bounds the server's memory, however many connections send at once. One client can't take
 * the share of the others. Knows sizes, no content.
 */
import { failure } from "../../failures.js";

export interface BodyLimits {
  bodiesBytesMax: number;
  bodiesBytesPerClientMax: number;
}

export class BodyBudget {
  /** Held now, by all. */
  bytes = 0;
  private readonly byClient = new Map<string, number>();

  constructor(private readonly limits: BodyLimits) {}

  /** Holds nothing yet. */
  lease(clientId: string): BodyLease {
    return new BodyLease(this, clientId);
  }

  /** @internal Throws 429 past the client's share, 503 past that of all. */
  add(clientId: string, bytes: number): void {
    const held = (this.byClient.get(clientId) ?? 0) + bytes;
    const { bodiesBytesMax, bodiesBytesPerClientMax } = this.limits;
    if (bytes > 0 && held > bodiesBytesPerClientMax)
      throw failure("too_many_bytes", { bytes: bodiesBytesPerClientMax });
    if (bytes > 0 && this.bytes + bytes > bodiesBytesMax)
      throw failure("too_many_bytes_in_all", { bytes: bodiesBytesMax });
    this.bytes += bytes;
    if (held > 0) this.byClient.set(clientId, held);
    else this.byClient.delete(clientId);
  }
}

/** Of one body. Released once it is a prompt, or nothing will come of it. */
export class BodyLease {
  private held = 0;

  constructor(
    private readonly bodies: BodyBudget,
    private readonly clientId: string,
  ) {}

  get bytes(): number {
    return this.held;
  }

  /** Holds so many in all. Throws 429 or 503, and holds what it held before. */
  hold(bytes: number): void {
    this.bodies.add(this.clientId, bytes - this.held);
    this.held = bytes;
  }

  release(): void {
    this.hold(0);
  }
}
