/**
 * Code blocks of a page, with what their notes say of them. Pure. A note is a comment before the block, which no reader sees:
 *
 *   <!-- block: skip REASON -->      is not run, and why
 *   <!-- block: file NAME -->        is written to that file, where the page's commands find it
 *   <!-- block: starts -->           a command that goes on running: the page goes on when it is ready
 *   <!-- block: interrupt -->        before this block, what was started gets Ctrl-C and ends
 *   <!-- block: output -->           what one sees of the commands before: every line in this order; `…` is anything
 *   <!-- block: given CODE -->       a program that says less than it needs: this stands before it
 *   <!-- block: continues -->        a program that goes on from the one before it
 *   <!-- block: schema NAME -->      JSON that this schema of the protocol takes
 *   <!-- block: worker -->           Python that runs on the environment of the workers
 *   <!-- page: server FLAGS -->      once a page, at its top: how the server is started that its blocks speak to
 */
import { lexer, walkTokens } from "marked";

/**
 * @typedef {{
 *   page: string,
 *   line: number,
 *   language: string,
 *   code: string,
 *   notes: Partial<Record<"skip" | "file" | "starts" | "interrupt" | "output" | "given" | "continues" | "schema" | "worker", string>>,
 * }} Block
 */

const words = [
  "skip",
  "file",
  "starts",
  "interrupt",
  "output",
  "given",
  "continues",
  "schema",
  "worker",
];
const note = /^<!-- block: (\w+)(?: ([\s\S]*?))? -->$/;

/**
 * @param {string} page Its path, for messages.
 * @param {string} markdown
 * @returns {Block[]} Throws for a note that means nothing, or that no block follows.
 */
export function blocksOf(page, markdown) {
  const blocks = [];
  let notes = {};
  let at = 0;
  const take = (token) => {
    const found = markdown.indexOf(token.raw.trimStart(), at);
    const line = markdown.slice(0, found < 0 ? at : found).split("\n").length;
    if (token.type === "html") {
      at = found < 0 ? at : found;
      for (const comment of token.raw.match(/<!--[\s\S]*?-->/g) ?? [])
        addNote(notes, comment, `${page}:${line}`);
    } else if (token.type === "code") {
      at = found < 0 ? at : found + 1;
      blocks.push({ page, line, language: token.lang ?? "", code: token.text, notes });
      notes = {};
    } else if (["heading", "table"].includes(token.type) && Object.keys(notes).length > 0)
      throw new Error(`${page}:${line}: no block follows the note before it`);
  };
  walkTokens(lexer(markdown), take);
  if (Object.keys(notes).length > 0) throw new Error(`${page}: no block follows its last note`);
  return blocks;
}

function addNote(notes, comment, place) {
  if (!comment.startsWith("<!-- block:")) return;
  const [, word, rest = ""] = note.exec(comment) ?? [];
  if (!words.includes(word)) throw new Error(`${place}: no note is called so: ${comment}`);
  if (["skip", "file", "given", "schema"].includes(word) && rest === "")
    throw new Error(`${place}: ${word} needs words after it`);
  notes[word] = rest;
}

const defaultFlags = "--engine fake --fake-script scripts/lib/pages/script.json";

/** Flags of the server that a page's blocks speak to. */
export function serverFlags(markdown) {
  return (/^<!-- page: server (.*) -->$/m.exec(markdown)?.[1] ?? defaultFlags).split(" ");
}

/** Languages of programs in one file each, by what they are called. */
export const isTypeScript = ({ language }) => ["ts", "js"].includes(language);

/**
 * A program as it can be compiled: with what is given, and after the ones that it goes on from.
 * @param {readonly Block[]} blocks Of the page.
 * @param {Block} block
 */
export function programOf(blocks, block) {
  const own = [...(block.notes.given === undefined ? [] : [block.notes.given]), block.code].join(
    "\n",
  );
  if (block.notes.continues === undefined) return own;
  const before = blocks
    .slice(0, blocks.indexOf(block))
    .findLast((other) => other.language === block.language);
  if (before === undefined) throw new Error(`${block.page}:${block.line}: goes on from nothing`);
  return `${programOf(blocks, before)}\n${own}`;
}
