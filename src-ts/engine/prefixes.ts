/**
 * Which prompt blocks each worker has seen lately: a guess at its prefix cache, good enough to place a
 * request where its prefix is. Bounded; forgotten with the incarnation.
 */

/** Tokens of one block; the worker hashes blocks of the same size. */
export const prefixBlockTokens = 64;
const blocksMax = 8_192;

export class PrefixIndex {
  private readonly blocks = new Map<string, Set<string>>();

  /** This worker has prefilled these blocks. */
  remember(workerId: string, hashes: readonly string[]): void {
    const seen = this.blocks.get(workerId) ?? new Set<string>();
    this.blocks.set(workerId, seen);
    for (const hash of hashes) {
      seen.delete(hash);
      seen.add(hash);
    }
    for (const oldest of seen) {
      if (seen.size <= blocksMax) break;
      seen.delete(oldest);
    }
  }

  forget(workerId: string): void {
    this.blocks.delete(workerId);
  }

  /** Tokens of this prompt that each worker is believed to hold; workers with none are left out. */
  lookup(hashes: readonly string[]): { workerId: string; tokens: number }[] {
    const found: { workerId: string; tokens: number }[] = [];
    for (const [workerId, seen] of this.blocks) {
      let count = 0;
      while (count < hashes.length && seen.has(hashes[count]!)) count++;
      if (count > 0) found.push({ workerId, tokens: count * prefixBlockTokens });
    }
    return found;
  }
}
