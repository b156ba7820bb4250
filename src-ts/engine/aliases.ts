/**
 * Names by which a model may be asked for besides its id, as clients have names of their own for what they
 * want. Knows no request.
 */

/** The alias that every name has which is nobody's. */
export const anyName = "*";

/** Aliases by name, with the id of a model that is served. */
export type Aliases = Readonly<Record<string, string>>;

/** The id of the model that is asked for; the name itself where it stands for none. */
export function modelNamed(name: string, ids: readonly string[], aliases: Aliases): string {
  if (ids.includes(name)) return name;
  if (Object.hasOwn(aliases, name)) return aliases[name]!;
  return Object.hasOwn(aliases, anyName) ? aliases[anyName]! : name;
}

/** Of this model, those that can be told. */
export function aliasesOf(id: string, aliases: Aliases): string[] {
  return Object.keys(aliases).filter((name) => name !== anyName && aliases[name] === id);
}
