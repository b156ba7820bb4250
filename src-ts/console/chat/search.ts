/** Finding conversations by what was said in them. Pure. */
import type { Conversation } from "./conversation.js";

export interface Found {
  conversation: Conversation;
  /** Around the place; undefined where the title is it, or nothing is looked for. */
  excerpt: string | undefined;
}

const around = 36;

/** Newest first; every word has to occur, in any message or the title. */
export function search(all: Iterable<Conversation>, query: string): Found[] {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  return [...all]
    .sort((a, b) => b.updatedAt - a.updatedAt)
    .flatMap((conversation) => found(conversation, words) ?? []);
}

function found(conversation: Conversation, words: readonly string[]): Found | undefined {
  if (words.length === 0) return { conversation, excerpt: undefined };
  const title = conversation.title.toLowerCase();
  if (words.every((word) => title.includes(word))) return { conversation, excerpt: undefined };
  const texts = Object.values(conversation.messages).map(({ text }) => text);
  const whole = [title, ...texts.map((text) => text.toLowerCase())].join("\n");
  if (!words.every((word) => whole.includes(word))) return undefined;
  return { conversation, excerpt: excerptOf(texts, words) };
}

function excerptOf(texts: readonly string[], words: readonly string[]): string | undefined {
  for (const text of texts)
    for (const word of words) {
      const at = text.toLowerCase().indexOf(word);
      if (at < 0) continue;
      const [from, to] = [Math.max(0, at - around), at + word.length + around];
      const cut = text.slice(from, to).replace(/\s+/g, " ");
      return `${from > 0 ? "…" : ""}${cut}${to < text.length ? "…" : ""}`;
    }
  return undefined;
}
