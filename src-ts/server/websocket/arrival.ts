/**
 * Bytes of one socket's message that is not whole yet, and what they hold once they are many. Knows no
 * message and no socket.
 */
import { bodyBytesUncounted } from "../../protocol/limits.js";
import type { BodyLease } from "../bodies/budget.js";

/** What a received chunk costs beside its bytes, while it waits for the rest of its message. */
const chunkOverheadBytes = 128;
/** Head and mask of a client's control frame. */
const controlHeadBytes = 6;

export class Arrival {
  private bytes = 0;
  private held: BodyLease | undefined;

  constructor(private readonly newLease: () => BodyLease) {}

  add(bytes: number): void {
    this.bytes += bytes + chunkOverheadBytes;
  }

  /** They are so many that they must be held. */
  get isLarge(): boolean {
    return this.bytes > bodyBytesUncounted;
  }

  /** Throws where there is no room for them. */
  hold(): void {
    this.held ??= this.newLease();
    this.held.hold(this.bytes);
  }

  /** A ping or pong is no part of a message, also in the midst of one. */
  addedControl(bytes: number): void {
    const whole = bytes + controlHeadBytes + chunkOverheadBytes;
    this.bytes = Math.max(0, this.bytes - whole);
  }

  /**
   * The message is whole; its lease is the caller's now. What its last chunk had of the next one counts for neither:
   * less than a chunk.
   */
  take(): BodyLease {
    const lease = this.held ?? this.newLease();
    this.held = undefined;
    this.bytes = 0;
    return lease;
  }

  release(): void {
    this.held?.release();
    this.held = undefined;
  }
}
