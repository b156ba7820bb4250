/** What `/metrics` says, read as Prometheus reads it. */

export interface Family {
  name: string;
  type: string;
  help: string;
  /** All that any sample of it has, but for `le` and `quantile`. */
  labels: Set<string>;
  /** By sample: names of a histogram's have endings. */
  samples: { name: string; labels: Record<string, string>; value: number }[];
}

const ofFamily = new Set(["le", "quantile"]);

export function families(text: string): Map<string, Family> {
  const all = new Map<string, Family>();
  for (const line of text.split("\n")) {
    const [, kind, name, rest = ""] = /^# (HELP|TYPE) (\S+) (.*)$/.exec(line) ?? [];
    if (name !== undefined) {
      const known = all.get(name) ?? { name, type: "", help: "", labels: new Set(), samples: [] };
      all.set(name, { ...known, ...(kind === "TYPE" ? { type: rest } : { help: rest }) });
    } else if (line !== "") addSample(all, line);
  }
  return all;
}

function addSample(all: Map<string, Family>, line: string): void {
  const [, name, inBraces = "", value] = /^([^\s{]+)(?:\{(.*)\})? (\S+)$/.exec(line) ?? [];
  if (name === undefined) throw new Error(`no sample: ${line}`);
  const family = all.get(name) ?? all.get(name.replace(/_(bucket|sum|count)$/, ""));
  if (family === undefined) throw new Error(`${name} has no type`);
  const pairs = [...inBraces.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)];
  const labels = Object.fromEntries(pairs.map(([, label, text]) => [label!, text!]));
  for (const label of Object.keys(labels)) if (!ofFamily.has(label)) family.labels.add(label);
  family.samples.push({ name, labels, value: Number(value) });
}
