/**
 * Markdown to markup, block by block: while a text grows only its last block changes. What comes out is not safe yet:
 * `sanitize.ts` lets through what may be shown.
 */
import { Marked, type Tokens } from "marked";
import { highlighted } from "./languages.js";

export interface Block {
  /** Two blocks of the same source look the same. */
  raw: string;
  html: string;
}

const marked = new Marked({
  gfm: true,
  breaks: false,
  renderer: {
    // What a model writes as HTML is text about HTML.
    html: ({ text }: Tokens.HTML | Tokens.Tag) => escaped(text),
    code({ text, lang }: Tokens.Code) {
      const language = /^[\w+#.-]+/.exec(lang ?? "")?.[0]?.toLowerCase() ?? "";
      const inner = highlighted(text, language) ?? escaped(text);
      return `<pre><code class="language-${escaped(language)}">${inner}</code></pre>`;
    },
    // No address is asked for without a click: an image is a link.
    image: ({ href, text }: Tokens.Image) =>
      `<a href="${escaped(href)}">${escaped(text || href)}</a>`,
    checkbox: ({ checked }: Tokens.Checkbox) => (checked ? "☑ " : "☐ "),
  },
});

const kept = new Map<string, Block>();
const keptMax = 500;

export function blocksOf(markdown: string): Block[] {
  return marked
    .lexer(markdown)
    .filter(({ type }) => type !== "space")
    .map((token) => {
      const known = kept.get(token.raw);
      if (known !== undefined) return known;
      const block = { raw: token.raw, html: marked.parser([token]) };
      kept.set(token.raw, block);
      if (kept.size > keptMax) kept.delete(kept.keys().next().value!);
      return block;
    });
}

const entities: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

export function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (character) => entities[character]!);
}
