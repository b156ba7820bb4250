/** Who imports whom, by the text of the sources. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";

export interface Import {
  file: string;
  target: string;
  typeOnly: boolean;
}

const statement = /^(?:import|export)\b(?:(\s+type)?\s*([\w*{][^;"']*?)\s*from)?\s*"(\.[^"]+)"/gm;
const dynamic = /\bimport\("(\.[^"]+)"\)/g;

/** Files of these folders that `ending` matches, relative to `root`. */
export function filesIn(root: string, folders: readonly string[], ending: RegExp): string[] {
  return folders.flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
      .filter((name) => ending.test(name))
      .map((name) => join(folder, name)),
  );
}

/** What TypeScript and JavaScript files import of the project, relative to `root`. */
export function importsOf(root: string, files: readonly string[]): Import[] {
  return files.flatMap((file) => {
    const source = readFileSync(join(root, file), "utf8");
    const at = (path: string) => {
      const target = relative(root, resolve(root, dirname(file), path.replace(/\.js$/, ".ts")));
      return existsSync(join(root, `${target}x`)) ? `${target}x` : target;
    };
    const statements = [...source.matchAll(statement)].map(([, type, names = "", path]) => ({
      file,
      target: at(path!),
      typeOnly: type !== undefined || areTypes(names),
    }));
    // In JavaScript they stand in comments that say types.
    const typeOnly = file.endsWith(".mjs");
    const dynamics = [...source.matchAll(dynamic)].map(([, path]) => ({
      file,
      target: at(path!),
      typeOnly,
    }));
    return [...statements, ...dynamics];
  });
}

/** `{ type A, type B }`. */
function areTypes(names: string): boolean {
  const list = /^\{(.*)\}$/s.exec(names.trim())?.[1];
  if (list === undefined) return false;
  const each = list.split(",").map((name) => name.trim());
  return each.filter((name) => name !== "").every((name) => name.startsWith("type "));
}

export type Graph = ReadonlyMap<string, ReadonlySet<string>>;

export function graphOf(edges: readonly { file: string; target: string }[]): Graph {
  const graph = new Map<string, Set<string>>();
  for (const { file, target } of edges) {
    const targets = graph.get(file) ?? new Set();
    graph.set(file, targets.add(target));
  }
  return graph;
}

/** Which ReScript modules of a folder name which others. */
export function moduleReferences(folder: string): { file: string; target: string }[] {
  const files = readdirSync(folder).filter((name) => /\.resi?$/.test(name));
  const modules = new Set(files.map((name) => name.replace(/\.resi?$/, "")));
  return files.flatMap((name) => {
    const source = readFileSync(join(folder, name), "utf8");
    const code = source.replace(/\/\*[\s\S]*?\*\//g, "").replace(/\/\/[^\n]*/g, "");
    const named = [...code.matchAll(/(?<![\w.])([A-Z]\w*)\.|\b(?:open|include) ([A-Z]\w*)/g)];
    const file = name.replace(/\.resi?$/, "");
    return named
      .map(([, prefix, whole]) => prefix ?? whole!)
      .filter((target) => modules.has(target) && target !== file)
      .map((target) => ({ file, target }));
  });
}

/** Groups of two and more that reach each other, each sorted; by Tarjan's algorithm. */
export function circlesIn(graph: Graph): string[][] {
  const order = new Map<string, number>();
  const lowest = new Map<string, number>();
  const stack: string[] = [];
  const circles: string[][] = [];
  const visit = (node: string): number => {
    order.set(node, order.size);
    let low = order.get(node)!;
    stack.push(node);
    for (const next of graph.get(node) ?? []) {
      if (!order.has(next)) low = Math.min(low, visit(next));
      else if (stack.includes(next)) low = Math.min(low, order.get(next)!);
    }
    lowest.set(node, low);
    if (low === order.get(node)) {
      const circle = stack.splice(stack.indexOf(node));
      if (circle.length > 1) circles.push(circle.sort());
    }
    return low;
  };
  for (const node of graph.keys()) if (!order.has(node)) visit(node);
  return circles.sort();
}
