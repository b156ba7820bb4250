/** Under which salt a worker keeps a prompt, and looks for it. */
import type { Scenario } from "./scenario.js";

/** Of requests that don't come over the wire. */
export const directOwner = "direct";

/** Whoever asks over the wire is one owner, and whoever asks the engine itself another. */
export function wrongSalt(
  { directs, plan }: Scenario,
  prompt: string,
  salt: string | undefined,
): string | undefined {
  const owner = directs.some((one) => one.prompt === prompt) ? directOwner : "open";
  const expected = plan.engine.prefixSharing === "own" ? owner : undefined;
  if (salt === expected) return undefined;
  return `"${prompt}" comes to a worker with the salt ${salt}, not ${expected}`;
}
