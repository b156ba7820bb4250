/**
 * The state that subscribers see, and when they are told of another one: at once, or with the next frame, so that a
 * page is drawn no more often than it is shown. Knows nothing of responses.
 */

/** Pages that nobody looks at have no frames. */
const frameMsMax = 250;
/** Where there are no frames at all. */
const frameMs = 16;

/** Calls back with the next frame, or soon where none comes; returns the way to give that up. */
export function atNextFrame(run: () => void): () => void {
  const hasFrames = typeof requestAnimationFrame === "function";
  const frame = hasFrames ? requestAnimationFrame(() => fire()) : undefined;
  const timer = setTimeout(() => fire(), hasFrames ? frameMsMax : frameMs);
  const stop = () => {
    if (frame !== undefined) cancelAnimationFrame(frame);
    clearTimeout(timer);
  };
  const fire = () => {
    stop();
    run();
  };
  return stop;
}

/** Calls back later, not before it has returned the way to give that up. */
type WhenDue = (run: () => void) => () => void;

export class Publisher<State> {
  #shown: State;
  #newest: State;
  #stopWaiting: (() => void) | undefined;
  readonly #listeners = new Set<() => void>();
  readonly #whenDue: WhenDue | undefined;

  /** `whenDue`: when states that can wait are shown; none waits without it. */
  constructor(initial: State, whenDue?: WhenDue) {
    this.#shown = initial;
    this.#newest = initial;
    this.#whenDue = whenDue;
  }

  /** What subscribers see: the same object until they are told. */
  get shown(): State {
    return this.#shown;
  }

  get newest(): State {
    return this.#newest;
  }

  subscribe(listener: () => void): () => void {
    // One function may listen twice, and leaves once for each.
    const own = () => listener();
    this.#listeners.add(own);
    return () => {
      this.#listeners.delete(own);
    };
  }

  /** Shows it now. */
  publish(state: State): void {
    this.#newest = state;
    this.#stopWaiting?.();
    this.#show();
  }

  /** Shows it when it is due, unless another one comes before. */
  publishLater(state: State): void {
    if (this.#whenDue === undefined) return this.publish(state);
    this.#newest = state;
    this.#stopWaiting ??= this.#whenDue(() => this.#show());
  }

  #show(): void {
    this.#stopWaiting = undefined;
    if (this.#shown === this.#newest) return;
    this.#shown = this.#newest;
    for (const listener of [...this.#listeners]) tell(listener);
  }
}

/** What a listener throws is its page's, and must not break the stream that it came from. */
function tell(listener: () => void): void {
  try {
    listener();
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
  }
}
