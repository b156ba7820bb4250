/** Random draws with a known sequence: the same seed draws the same. */

export class Chance {
  #state;

  /** @param {number} seed */
  constructor(seed) {
    this.#state = seed >>> 0;
  }

  /** 0 ≤ x < 1 (mulberry32). */
  next() {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    const state = this.#state;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  /** True in a share of the draws. */
  in(share) {
    return this.next() < share;
  }

  /** From `min` up to, but not with, `max`. */
  between(min, max) {
    return min + this.next() * (max - min);
  }

  /** A whole number from `min` to `max`. */
  integer(min, max) {
    return Math.floor(this.between(min, max + 1));
  }

  /** @template T @param {readonly T[]} list @returns {T} */
  pick(list) {
    return list[this.integer(0, list.length - 1)];
  }

  /** A key of `weights`, as often as its weight says. @param {Record<string, number>} weights */
  weighted(weights) {
    const entries = Object.entries(weights);
    let left = this.between(
      0,
      entries.reduce((sum, [, weight]) => sum + weight, 0),
    );
    for (const [key, weight] of entries) {
      left -= weight;
      if (left < 0) return key;
    }
    return entries.at(-1)[0];
  }

  /** A generator of its own, so that who draws how often disturbs nobody. */
  fork() {
    return new Chance(Math.floor(this.next() * 2 ** 32));
  }
}
