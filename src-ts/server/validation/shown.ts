/** Names of the client's, as answers repeat them. */
import { ignoredKeyCharsMax } from "../../protocol/limits.js";

/** In a sentence, or as the field to blame: cut, and printable. */
export function shown(name: string): string {
  return name.slice(0, ignoredKeyCharsMax).replace(/[^\x20-\x7e]/g, "?");
}

/**
 * As a step of a path in a header's list of names: also without what separates names or steps, or could be
 * taken for a number of a list.
 */
export function shownInList(name: string): string {
  return shown(name).replace(/^$|[^\w$:-]/g, "?");
}
