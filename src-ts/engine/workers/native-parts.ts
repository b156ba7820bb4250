/** What is to be said of native parts that were to be used and can't. */
import type { NativeParts } from "../api.js";

/** Their names with the reason behind them, one text for each reason. */
export function missingParts(parts: NativeParts): string[] {
  const byReason = new Map<string, string[]>();
  for (const [name, { missing, reason }] of Object.entries(parts)) {
    if (missing) byReason.set(reason ?? "", [...(byReason.get(reason ?? "") ?? []), name]);
  }
  return [...byReason].map(([reason, names]) => `${names.join(", ")} (${reason})`);
}
