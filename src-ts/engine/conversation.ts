/**
 * What has been said before an answer, as a chain of lists: those who go on from the same response share what
 * came before. Owns the chain, and what it weighs. What an item is, only whoever submits it knows.
 */
export interface Conversation {
  readonly before: Conversation | undefined;
  /** JSON-serializable. */
  readonly items: readonly unknown[];
  /** Of all items, those before too. */
  readonly count: number;
  /** UTF-16 code units of all their texts. */
  readonly chars: number;
}

export function conversation(
  items: readonly unknown[],
  before: Conversation | undefined,
): Conversation {
  return {
    before,
    items,
    count: (before?.count ?? 0) + items.length,
    chars: (before?.chars ?? 0) + textChars(items),
  };
}

/** All of it, from the first item on. */
export function allItems(last: Conversation | undefined): unknown[] {
  const lists: (readonly unknown[])[] = [];
  for (let one = last; one !== undefined; one = one.before) lists.push(one.items);
  return lists.reverse().flat();
}

/** Texts of a value of JSON: they may be as long as a body. */
export function textChars(value: unknown): number {
  if (typeof value === "string") return value.length;
  if (typeof value !== "object" || value === null) return 0;
  return Object.values(value).reduce<number>((sum, one) => sum + textChars(one), 0);
}
