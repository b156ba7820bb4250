/** Which of some names was probably meant by one that isn't among them, and the question about it. */
import { closest, distance } from "fastest-levenshtein";

/** Longer ones are nobody's slip, and comparing takes time. */
const comparedCharsMax = 256;
/** Of the characters of the longer name, so many may differ. */
const differingShareMax = 0.4;

/** Whatever the case and the dashes. Undefined: none is near. */
export function nearest(meant: string, names: readonly string[]): string | undefined {
  const wanted = plain(meant);
  if (wanted.length < 2 || meant.length > comparedCharsMax) return undefined;
  // With an owner before it, as ids of models have, or without.
  const forms = new Map(
    names.flatMap((name) => [lastPart(name), name].map((form) => [plain(form), name])),
  );
  const best = closest(wanted, [...forms.keys()]);
  if (best !== undefined && isSlip(wanted, best)) return forms.get(best);
  const around = [...forms.keys()].filter((form) => isPart(wanted, form));
  return around.length === 1 ? forms.get(around[0]!) : undefined;
}

/** ` Did you mean prompt?`, to put behind a sentence; empty: none is near. */
export function didYouMean(meant: string, names: readonly string[]): string {
  const near = nearest(meant, names);
  return near === undefined ? "" : ` Did you mean ${near}?`;
}

const plain = (name: string) => name.replace(/[-_]/g, "").toLowerCase();
const lastPart = (name: string) => name.slice(name.lastIndexOf("/") + 1);

const sorted = (text: string) => [...text].sort().join("");

/** Two letters that have changed places count, in short names too. */
function isSlip(wanted: string, form: string): boolean {
  const differing = distance(wanted, form);
  if (differing === 2 && sorted(wanted) === sorted(form)) return true;
  return differing <= differingShareMax * Math.max(wanted.length, form.length);
}

/** The beginning of a name, or a name with more behind it; of what is short, chance. */
function isPart(wanted: string, form: string): boolean {
  const [short, long] = wanted.length < form.length ? [wanted, form] : [form, wanted];
  return short.length >= 3 && long.startsWith(short);
}
