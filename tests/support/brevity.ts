/**
 * A small model that draws freely never closes a string or a list. These are the embedded model's tokens that do: a
 * bias makes them likelier where a grammar allows them, so that answers end, and few are cut by their token limit.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { embeddedModelFolder } from "../../setup/model.mjs";

const closing = ['"', '",', '"]', '"],', '"}', '"},', '":', '","', "]", "],", "]}", "}", "},"];

export function closingTokens(): number[] {
  const text = readFileSync(join(embeddedModelFolder(), "tokenizer.json"), "utf8");
  const { vocab } = (JSON.parse(text) as { model: { vocab: Record<string, number> } }).model;
  return closing.flatMap((token) => vocab[token] ?? []);
}
