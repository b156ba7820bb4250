/**
 * `$ref`: what it points to, within the schema. Owns the names of the definitions that a grammar is given;
 * each is made once, however often it is referred to, so that a schema may refer to itself.
 */
import type { Fields } from "./parts.js";
import { type Path, unenforceable, wrong } from "./refusal.js";

export interface Definition {
  schema: unknown;
  path: Path;
}

export class References {
  private readonly names = new Map<unknown, string>();
  private readonly waiting: (Definition & { name: string })[] = [];

  constructor(
    private readonly root: Fields,
    private readonly rootPath: Path,
  ) {}

  /** As the grammar has it; its definition is made later. */
  nameOf(reference: unknown, path: Path): string {
    const found = this.resolve(reference, path);
    const known = this.names.get(found.schema);
    if (known !== undefined) return known;
    const name = `d${this.names.size}`;
    // Definitions that are true or false are not told apart, and need not be.
    this.names.set(found.schema, name);
    this.waiting.push({ ...found, name });
    return name;
  }

  /** The next one that was named and is not made yet. */
  take(): (Definition & { name: string }) | undefined {
    return this.waiting.shift();
  }

  /** Throws 400 for what is not within the schema. */
  resolve(reference: unknown, path: Path): Definition {
    if (typeof reference !== "string") wrong(path, "must be a string");
    const local = this.local(reference);
    if (local === undefined)
      unenforceable(path, "only what is within the schema can be referred to, as #/$defs/name");
    if (local === "" || local === "/") return { schema: this.root, path: this.rootPath };
    const found = local.startsWith("/")
      ? at(this.root, steps(local), this.rootPath)
      : this.anchored(local);
    return found ?? wrong(path, "refers to something that is not there");
  }

  /** What follows the `#`, if it is about this schema. */
  private local(reference: string): string | undefined {
    const { $id } = this.root;
    const [base = "", ...rest] = reference.split("#");
    if (base !== "" && base !== $id) return undefined;
    try {
      return decodeURIComponent(rest.join("#"));
    } catch {
      return undefined;
    }
  }

  private anchored(name: string): Definition | undefined {
    return findAnchor(this.root, name, this.rootPath);
  }
}

function steps(pointer: string): string[] {
  return pointer
    .slice(1)
    .split("/")
    .map((step) => step.replaceAll("~1", "/").replaceAll("~0", "~"));
}

function at(root: unknown, pointer: readonly string[], rootPath: Path): Definition | undefined {
  let schema = root;
  const path = [...rootPath];
  for (const step of pointer) {
    const isList = Array.isArray(schema);
    if (typeof schema !== "object" || schema === null || !Object.hasOwn(schema, step))
      return undefined;
    schema = (schema as Fields)[step];
    path.push(isList ? Number(step) : step);
  }
  return { schema, path };
}

/** Of all definitions; elsewhere nobody names one. */
function findAnchor(root: Fields, name: string, rootPath: Path): Definition | undefined {
  if (root.$anchor === name) return { schema: root, path: rootPath };
  for (const place of ["$defs", "definitions"]) {
    const definitions = root[place];
    if (typeof definitions !== "object" || definitions === null) continue;
    for (const [key, schema] of Object.entries(definitions))
      if ((schema as Fields | null)?.$anchor === name)
        return { schema, path: [...rootPath, place, key] };
  }
  return undefined;
}
