/** Chance from a seed: the same seed, the same life. */

/** A number that both decide; another one for each pair, nearly always. */
export function mix(a: number, b: number): number {
  let h = Math.imul(a ^ (b + 0x9e37_79b9 + (a << 6)), 0x85eb_ca6b);
  h ^= h >>> 13;
  return Math.imul(h, 0xc2b2_ae35) >>> 0;
}

/** Mulberry32. Not for secrets. */
export class Random {
  private state: number;

  constructor(seed: number) {
    // Neighbouring seeds must not begin alike.
    this.state = Math.imul(seed ^ 0x9e37_79b9, 0x85eb_ca6b) ^ (seed >>> 13);
  }

  /** 0 ≤ x < 1. */
  readonly next = (): number => {
    this.state = (this.state + 0x6d2b_79f5) | 0;
    let t = this.state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };

  /** An integer from `min` to `max`, both included. */
  int(min: number, max: number): number {
    return min + Math.floor(this.next() * (max - min + 1));
  }

  between(min: number, max: number): number {
    return min + this.next() * (max - min);
  }

  chance(probability: number): boolean {
    return this.next() < probability;
  }

  pick<T>(list: readonly T[]): T {
    return list[Math.floor(this.next() * list.length)]!;
  }

  /** Draws of its own, so that more of one thing doesn't change another. */
  fork(): Random {
    return new Random(Math.floor(this.next() * 2 ** 32));
  }
}
