/** A cache of conversations in blocks, as a textbook has it: the block that was used longest ago goes first. */

/**
 * @param {number} blocksMax Blocks that fit.
 * @returns {{ ask: (conversation: number, blocks: number) => number }} `ask`: uses the first `blocks` blocks of a
 *   conversation and says how many of them were there. The last block of the conversation that was used longest ago
 *   goes first.
 */
export function blockLru(blocksMax) {
  /** Conversations with their blocks; those that were used last come last. */
  const held = new Map();
  let total = 0;

  function makeRoom() {
    for (const [conversation, blocks] of held) {
      if (total <= blocksMax) return;
      const gone = Math.min(blocks, total - blocksMax);
      total -= gone;
      if (gone === blocks) held.delete(conversation);
      else held.set(conversation, blocks - gone);
    }
  }

  return {
    ask(conversation, blocks) {
      const before = held.get(conversation) ?? 0;
      const after = Math.max(before, blocks);
      total += after - before;
      held.delete(conversation);
      held.set(conversation, after);
      makeRoom();
      return Math.min(before, blocks);
    },
  };
}
