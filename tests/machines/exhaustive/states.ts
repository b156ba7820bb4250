const growth = 1.5;

/** The states that a search has seen, in the order of their discovery, each in full: no hash stands for one. */
export class States {
  count = 0;
  private vectors: Int32Array;
  private parents: Int32Array;
  /** Index + 1 of a state by the hash of its vector; 0 is free. */
  private slots = new Int32Array(1 << 16);

  constructor(private readonly width: number) {
    this.vectors = new Int32Array(width << 15);
    this.parents = new Int32Array(1 << 15);
  }

  vector(state: number): Int32Array {
    return this.vectors.subarray(state * this.width, (state + 1) * this.width);
  }

  /** -1 for the first. */
  parent(state: number): number {
    return this.parents[state]!;
  }

  /** Its index; it is new when that is what `count` was. */
  add(vector: readonly number[], parent: number): number {
    const slot = this.slotOf(vector);
    const known = this.slots[slot]!;
    if (known !== 0) return known - 1;
    const state = this.count;
    if (state === this.parents.length) this.grow();
    this.vectors.set(vector, state * this.width);
    this.parents[state] = parent;
    this.count = state + 1;
    this.slots[slot] = this.count;
    if (this.count * 2 > this.slots.length) this.rehash();
    return state;
  }

  private slotOf(vector: ArrayLike<number>): number {
    const mask = this.slots.length - 1;
    let slot = hash(vector, this.width) & mask;
    for (;;) {
      const known = this.slots[slot]!;
      if (known === 0 || this.equals(known - 1, vector)) return slot;
      slot = (slot + 1) & mask;
    }
  }

  private equals(state: number, vector: ArrayLike<number>): boolean {
    const start = state * this.width;
    for (let i = 0; i < this.width; i += 1) if (this.vectors[start + i] !== vector[i]) return false;
    return true;
  }

  private grow(): void {
    this.parents = enlarged(this.parents, this.parents.length * growth);
    this.vectors = enlarged(this.vectors, this.parents.length * this.width);
  }

  private rehash(): void {
    this.slots = new Int32Array(this.slots.length * 2);
    for (let state = 0; state < this.count; state += 1)
      this.slots[this.slotOf(this.vector(state))] = state + 1;
  }
}

/** A list of numbers that may become long. */
export class Numbers {
  length = 0;
  private values = new Int32Array(1 << 16);

  push(value: number): void {
    if (this.length === this.values.length)
      this.values = enlarged(this.values, this.length * growth);
    this.values[this.length] = value;
    this.length += 1;
  }

  at(index: number): number {
    return this.values[index]!;
  }
}

function enlarged(values: Int32Array, length: number): Int32Array<ArrayBuffer> {
  const larger = new Int32Array(Math.ceil(length));
  larger.set(values);
  return larger;
}

/** FNV-1a over whole numbers, then mixed. */
function hash(vector: ArrayLike<number>, width: number): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < width; i += 1) {
    h = Math.imul(h ^ vector[i]!, 0x01000193);
    h ^= h >>> 15;
  }
  h = Math.imul(h ^ (h >>> 13), 0x5bd1e995);
  return h ^ (h >>> 16);
}
