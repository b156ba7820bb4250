/** A name of the client's as an error repeats it: cut, and printable. */
const shownCharsMax = 64;

export function shown(name: string): string {
  return name.slice(0, shownCharsMax).replace(/[^\x20-\x7e]/g, "?");
}
