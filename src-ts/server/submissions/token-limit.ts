/** How many tokens a body asks for at most, by whichever of the names that clients have for it. */
import { conflict } from "./conflict.js";

/** Tokens to generate at most, under whichever of its names. Throws 400 where two of them differ. */
export function tokenLimitOf(body: {
  max_tokens?: number | null | undefined;
  max_completion_tokens?: number | null | undefined;
  max_output_tokens?: number | null | undefined;
  n_predict?: number | null | undefined;
}): number | undefined {
  const { max_tokens, max_completion_tokens, max_output_tokens, n_predict } = body;
  const given = Object.entries({ max_tokens, max_completion_tokens, max_output_tokens, n_predict });
  const [first, ...others] = given.filter(([, limit]) => limit != null);
  const other = others.find(([, limit]) => limit !== first![1]);
  if (other !== undefined)
    throw conflict(first![0], `${first![0]} and ${other[0]} differ; send one of them.`);
  return first?.[1] ?? undefined;
}
