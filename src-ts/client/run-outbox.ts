/**
 * What a run has told and its reader has not taken yet. Bounded: a slow reader holds the run back. Knows nothing of
 * runs.
 */

interface Waiter<T> {
  resolve(result: IteratorResult<T, undefined>): void;
  reject(error: unknown): void;
}

type End = { kind: "open" } | { kind: "done" } | { kind: "failed"; error: unknown };

export class Outbox<T> {
  #kept: T[] = [];
  #end: End = { kind: "open" };
  #pulls: Waiter<T>[] = [];
  /** Who waits for room. */
  #pushes: (() => void)[] = [];
  #reader: "nobody" | "iterator" | "listener" = "nobody";
  #listener: ((event: T) => void) | undefined;
  /** Someone waits for the end alone. */
  #isAwaited = false;
  readonly #keptMax: number;

  constructor(keptMax: number) {
    this.#keptMax = keptMax;
  }

  /** Resolves when there is room for more. */
  push(event: T): Promise<void> {
    if (this.#end.kind !== "open") return Promise.resolve();
    if (this.#listener !== undefined) {
      this.#listener(event);
      return Promise.resolve();
    }
    const pull = this.#pulls.shift();
    if (pull !== undefined) {
      pull.resolve({ done: false, value: event });
      return Promise.resolve();
    }
    this.#kept.push(event);
    return this.#room();
  }

  /** Nothing more comes. What is kept can still be read, unless it failed. */
  finish(end: Exclude<End, { kind: "open" }>): void {
    if (this.#end.kind !== "open") return;
    this.#end = end;
    if (end.kind === "failed") this.#kept = [];
    for (const pull of this.#pulls.splice(0)) this.#settle(pull);
    this.#release();
  }

  /** Someone waits for the end, reading or not: what nobody reads need not be kept. */
  await(): void {
    this.#isAwaited = true;
    void this.#room();
  }

  iterate(): void {
    if (this.#reader !== "iterator") this.#claim("iterator");
  }

  listen(listener: (event: T) => void): void {
    this.#claim("listener");
    this.#listener = listener;
    for (const event of this.#kept.splice(0)) listener(event);
    this.#release();
  }

  next(): Promise<IteratorResult<T, undefined>> {
    return new Promise((resolve, reject) => {
      const pull = { resolve, reject };
      if (this.#kept.length > 0) {
        resolve({ done: false, value: this.#kept.shift()! });
        if (this.#kept.length < this.#keptMax) this.#release();
      } else if (this.#end.kind === "open") this.#pulls.push(pull);
      else this.#settle(pull);
    });
  }

  #claim(reader: "iterator" | "listener"): void {
    if (this.#reader !== "nobody") throw new TypeError("The events of a run can be read once");
    this.#reader = reader;
  }

  #settle({ resolve, reject }: Waiter<T>): void {
    if (this.#end.kind === "failed") reject(this.#end.error);
    else resolve({ done: true, value: undefined });
  }

  #room(): Promise<void> {
    if (this.#kept.length < this.#keptMax) return Promise.resolve();
    if (this.#reader === "nobody" && this.#isAwaited) {
      this.#reader = "listener";
      this.#listener = () => {};
      this.#kept = [];
      this.#release();
      return Promise.resolve();
    }
    return new Promise((resolve) => this.#pushes.push(resolve));
  }

  #release(): void {
    for (const resolve of this.#pushes.splice(0)) resolve();
  }
}
