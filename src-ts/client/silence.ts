/**
 * Notices a connection that has died without a word, as when a network goes away. It listens only:
 * servers ping, and where the platform shows their pings, long silence after one means that nobody is
 * there. Browsers don't show them; there a dead connection is noticed when the platform does.
 */
import type { ClientPorts, Timer } from "./ports.js";

/** Servers ping every 20 s: two are missing, and some more time has passed. */
export const silenceMsMax = 50_000;

export class Silence {
  #heardAt = 0;
  #timer: Timer | undefined;
  readonly #ports: ClientPorts;
  readonly #onDead: () => void;

  constructor(ports: ClientPorts, onDead: () => void) {
    this.#ports = ports;
    this.#onDead = onDead;
  }

  /** Something came. */
  heard(): void {
    if (this.#timer !== undefined) this.#heardAt = this.#ports.now();
  }

  /** A ping came: others must follow. */
  pinged(): void {
    this.#heardAt = this.#ports.now();
    this.#timer ??= this.#ports.after(silenceMsMax, () => this.#look());
  }

  stop(): void {
    this.#timer?.cancel();
  }

  #look(): void {
    const leftMs = this.#heardAt + silenceMsMax - this.#ports.now();
    if (leftMs <= 0) this.#onDead();
    else this.#timer = this.#ports.after(leftMs, () => this.#look());
  }
}
