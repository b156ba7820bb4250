/** Prompts for load: each different from its first words on, so that no prefix cache answers for the model. */

/** Words that common tokenizers take as one token with the space before them. */
const words = (
  "time people year work day life world hand part place case week company system program " +
  "question government number night point home water room mother area money story fact month " +
  "lot right study book eye job word business issue side kind head house service friend father " +
  "power hour game line end member law car city community name president team minute idea body"
).split(" ");

/** A small generator with a known sequence: the same prompts for every target and every run. */
function sequence(seed: number): () => number {
  let state = (seed * 2654435761 + 1) >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

/** About `tokens` tokens; the number `index` decides which. */
export function syntheticPrompt(index: number, tokens: number): string {
  const next = sequence(index);
  const picked = Array.from({ length: tokens }, () => words[Math.floor(next() * words.length)]!);
  return picked.join(" ");
}
