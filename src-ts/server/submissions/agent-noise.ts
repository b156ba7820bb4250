/**
 * What Claude Code writes into its requests and no model needs: it is another in every turn, and no cached prefix
 * outlives it. Owns what these texts look like. Pure.
 */

/** A block of the system's prompt: `x-anthropic-billing-header: cc_version=…; cch=…;`. */
const billingHeader = "x-anthropic-billing-header";

/** All of a message of the system's, or of a block: `<total_tokens>12345 tokens left</total_tokens>`. */
const counters = [
  /^<total_tokens>\s*[\d.,_]+ tokens left\s*<\/total_tokens>$/,
  /^(<system-reminder>\s*)?Token usage: [\d.,_]+\/[\d.,_]+; [\d.,_]+ remaining(\s*<\/system-reminder>)?$/,
];

/** Characters of the longest counter: nothing longer is looked at. */
const counterCharsMax = 200;

export function isBilling(text: string): boolean {
  return text.startsWith(billingHeader);
}

/** What is left of the tokens, said for the model to see. */
export function isTokenCounter(text: string): boolean {
  if (text.length > counterCharsMax) return false;
  const said = text.trim();
  return counters.some((counter) => counter.test(said));
}
