/**
 * Requests that make a prefix store work, from a seed: beginnings that are shared and not, short and long, of two
 * API keys, cancelled wherever they are.
 */
import type { Chance, Departure, Kind, Mixed } from "./requests.js";
import { type Asked, constrained, enforceableSchemas, free } from "./requests.js";

type StoreKind = Exclude<Kind, "tools">;

/** Of a hundred. */
const shares: Readonly<Record<StoreKind, number>> = {
  greedy: 40,
  seeded: 15,
  constrained: 20,
  cancelled: 25,
};
const referenceKinds = ["greedy", "seeded"] as const;
/** Of each kind, of so many requests. */
const referencesOfKind = (count: number) => Math.min(24, Math.max(3, Math.floor(count / 25)));

/** In words, each about 1.3 tokens. */
const lengths = {
  shared: { count: 12, min: 20, max: 700 },
  own: { min: 5, max: 60 },
  long: { min: 500, max: 1_500 },
};
const chances = { shared: 0.7, own: 0.2, earlierTurn: 0.4, long: 0.06 };
/** Of those that are cancelled more are long: else few are met in their prefill. */
const longCancelled = 0.3;
const cancelledTokensMax = 24;
const leavesAfter = { atOnceMs: 30, ms: 6_000, deltas: 5 };
const words =
  "river stone light bread tide clock bee map comet bridge rain road winter ship glass salt field song moon iron".split(
    " ",
  );

interface Message {
  role: "system" | "user" | "assistant";
  content: string;
}

interface Wanted {
  count: number;
  keys: readonly string[];
  brevity: Record<string, number>;
}

/** `references`: to be asked alone, of a server that keeps nothing. All greedy and seeded ones are of these. */
export function storeRequests({ count, keys, brevity }: Wanted, chance: Chance) {
  const schemas = enforceableSchemas();
  const shared = Array.from({ length: lengths.shared.count }, () => text(lengths.shared, chance));
  const beginning = (): Message[] => {
    const drawn = chance.int(1, 100) / 100;
    const content =
      drawn <= chances.shared
        ? chance.pick(shared)
        : drawn <= chances.shared + chances.own
          ? text(lengths.own, chance)
          : undefined;
    if (content === undefined) return [];
    const system: Message = { role: "system", content };
    if (!chance.chance(chances.earlierTurn)) return [system];
    // The same of one beginning, so that turns are shared as well.
    const before: Message[] = [
      { role: "user", content: `What of ${content.slice(0, 40)}?` },
      { role: "assistant", content: `Of that: ${content.slice(-80)}.` },
    ];
    return [system, ...before];
  };
  const begun = (asked: Asked, long = chances.long): Asked => {
    const messages = asked.body.messages as Message[];
    const more: Message[] = chance.chance(long)
      ? [{ role: "user", content: text(lengths.long, chance) }]
      : messages;
    return { ...asked, body: { ...asked.body, messages: [...beginning(), ...more] } };
  };
  const known = referencesOfKind(count);
  const references = referenceKinds.flatMap((kind) =>
    Array.from({ length: known }, () => begun(free(kind, chance))),
  );
  const make: Record<StoreKind, () => Partial<Mixed> & Asked> = {
    greedy: () => reference("greedy"),
    seeded: () => reference("seeded"),
    constrained: () => begun(constrained(chance.pick(schemas), brevity, chance)),
    cancelled: () => {
      const asked = begun(free("greedy", chance), longCancelled);
      const body = { ...asked.body, max_tokens: cancelledTokensMax };
      return { ...asked, kind: "cancelled", body, departure: departureBy(chance) };
    },
  };
  function reference(kind: (typeof referenceKinds)[number]) {
    const place = referenceKinds.indexOf(kind) * known + chance.int(0, known - 1);
    return { ...references[place]!, reference: place };
  }
  const bag = (Object.keys(shares) as StoreKind[]).flatMap((kind) =>
    Array<StoreKind>(shares[kind]).fill(kind),
  );
  const one = (): Mixed => {
    const kind = chance.pick(bag);
    const stream = kind === "cancelled" || chance.chance(0.5);
    return { ...make[kind](), stream, apiKey: chance.pick(keys) };
  };
  return { references, requests: Array.from({ length: count }, one) };
}

/** A quarter before it can have been taken up, one at any time, one in its prefill, one when they have heard so much. */
function departureBy(chance: Chance): Departure {
  const quarter = chance.int(0, 3);
  if (quarter === 3) return { afterDeltas: chance.int(1, leavesAfter.deltas) };
  if (quarter === 2) return { inPrefill: true };
  return { afterMs: chance.int(1, quarter === 0 ? leavesAfter.atOnceMs : leavesAfter.ms) };
}

function text({ min, max }: { min: number; max: number }, chance: Chance): string {
  // Most are short: as lengths of prompts are.
  const share = chance.int(0, 1_000) / 1_000;
  const count = Math.round(min + (max - min) * share * share);
  return Array.from({ length: count }, () => chance.pick(words)).join(" ");
}
