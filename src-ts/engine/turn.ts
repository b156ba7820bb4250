/**
 * What comes in together is one turn of the engine: the orchestrator hears when it is over, and readers are
 * woken here after.
 */
import type { Clock } from "./ports.js";

export class Turn {
  private scheduled = false;
  private readonly readers = new Set<() => void>();

  constructor(
    private readonly clock: Clock,
    private readonly finish: () => void,
  ) {}

  /** Makes sure that the turn will be ended. */
  touch(): void {
    if (this.scheduled) return;
    this.scheduled = true;
    this.clock.soon(() => this.end());
  }

  /** Calls this reader back once, at the end of the turn. */
  wake(reader: () => void): void {
    this.readers.add(reader);
    this.touch();
  }

  /** A reader that does not want to be called any more. */
  forget(reader: () => void): void {
    this.readers.delete(reader);
  }

  private end(): void {
    // What finishing makes necessary gets a turn of its own.
    this.scheduled = false;
    this.finish();
    const readers = [...this.readers];
    this.readers.clear();
    for (const reader of readers) reader();
  }
}
