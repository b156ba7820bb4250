/** Who listens to the engine: metrics, logs, whoever uses it as a library. Knows nothing of what is told. */
import type { EngineObserver } from "./api.js";

type Told<K extends keyof EngineObserver> = Parameters<NonNullable<EngineObserver[K]>>;

export class Observers {
  private readonly all = new Set<EngineObserver>();

  /** Returns how to stop listening. */
  add(observer: EngineObserver): () => void {
    this.all.add(observer);
    return () => this.all.delete(observer);
  }

  tell<K extends keyof EngineObserver>(what: K, ...told: Told<K>): void {
    for (const observer of this.all)
      (observer[what] as ((...told: Told<K>) => void) | undefined)?.(...told);
  }
}
