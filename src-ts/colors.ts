/** Colours for terminals alone, and not against NO_COLOR; picocolors would also colour the logs of a CI. */
import pc from "picocolors";

type Environment = Record<string, string | undefined>;

/** Whether what is written to `stream` may have colours. */
export function hasColors(stream: { isTTY?: boolean }, env: Environment = process.env): boolean {
  if (env.NO_COLOR !== undefined && env.NO_COLOR !== "") return false;
  return Boolean(stream.isTTY) && env.TERM !== "dumb";
}

/** For what goes to stdout. */
export const outColors = pc.createColors(hasColors(process.stdout));
/** For what goes to stderr. */
export const errColors = pc.createColors(hasColors(process.stderr));
