import { ignoredKeyCharsMax } from "../../protocol/limits.js";

/** A name of the client's as an answer repeats it: cut, and printable. */
export function shown(name: string): string {
  return name.slice(0, ignoredKeyCharsMax).replace(/[^\x20-\x7e]/g, "?");
}
