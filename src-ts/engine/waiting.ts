/** Who waits for the engine: until its default model can be used, until nothing runs any more. */
import type { Clock } from "./ports.js";

export class Ready {
  private waiters: { resolve(): void; reject(error: Error): void }[] = [];
  /** Why the model could not be loaded; undefined once it was. */
  private failure: Error | undefined;

  wait(): Promise<void> {
    if (this.failure !== undefined) return Promise.reject(this.failure);
    return new Promise((resolve, reject) => this.waiters.push({ resolve, reject }));
  }

  reached(): void {
    this.failure = undefined;
    for (const { resolve } of this.take()) resolve();
  }

  failed(error: Error): void {
    this.failure = error;
    for (const { reject } of this.take()) reject(error);
  }

  private take() {
    const { waiters } = this;
    this.waiters = [];
    return waiters;
  }
}

export class Idle {
  private waiters: (() => void)[] = [];

  constructor(
    private readonly clock: Clock,
    private readonly isIdle: () => boolean,
  ) {}

  /** Something has ended. */
  look(): void {
    if (!this.isIdle()) return;
    const { waiters } = this;
    this.waiters = [];
    for (const resolve of waiters) resolve();
  }

  /** When it is, and at the latest after `timeoutMs`. */
  reached(timeoutMs: number): Promise<void> {
    if (this.isIdle()) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = this.clock.after(timeoutMs, resolve);
      this.waiters.push(() => {
        timer.cancel();
        resolve();
      });
    });
  }
}
