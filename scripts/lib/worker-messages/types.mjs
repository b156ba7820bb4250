/** The types of the link in Python: what comes as frozen dataclasses, what goes as the dictionaries that are packed. */
import {
  absentOf,
  checkOf,
  isInteger,
  isTag,
  literal,
  Shapes,
  snake,
  usualOf,
  withoutMessages,
} from "./shapes.mjs";

const lineMax = 100;

const heading = `"""The messages between orchestrator and worker: names and types.

Made by \`npm run docs\` from messages.ts and figures.ts in src-ts/worker, which say what they mean:
change those. Keys on the wire are camelCase; token ids travel packed as little-endian u32.
"""`;

/** What a check makes of what has come. */
const typesOfChecks = {
  u64: "int",
  byte_count: "int",
  token_ids: "list[int]",
  json_map: "dict[str, Any]",
  json_object_text: "str",
};

/**
 * @param link The module of the schemas, src-ts/worker/messages.ts.
 * @returns {string} `messages.py`
 */
export function messageTypes(link) {
  const { toWorker, fromWorker, toWorkerTypes, fromWorkerTypes, linkVersion, neutral } = link;
  const coming = new Shapes(toWorker, withoutMessages(link, toWorker));
  const going = new Shapes(fromWorker, link);
  const defaults = { Sampling: { ...neutral, seed: 0n } };
  const came = coming.declarations();
  const known = new Set(came.map(({ name }) => name));
  const goes = going.declarations().filter(({ name }) => !known.has(name));
  return [
    heading,
    `from __future__ import annotations`,
    `from collections.abc import Mapping, Sequence\nfrom dataclasses import dataclass, field\nfrom typing import Any, Final, Literal, NotRequired, TypedDict`,
    `LINK_VERSION: Final = ${linkVersion}`,
    `${numbers("TO_WORKER_TYPES", toWorkerTypes)}\n${numbers("FROM_WORKER_TYPES", fromWorkerTypes)}`,
    `# What comes from the orchestrator.`,
    ...came.map((declaration) => declared(declaration, new Coming(coming, defaults))),
    alias("ToWorker", union(coming.messages)),
    `# What the worker sends: the bodies as they go on the wire.`,
    ...goes.map((declaration) => declared(declaration, new Going(going))),
    alias("FromWorkerBody", union(going.messages)),
  ]
    .reduce((text, part) => text + separator(text, part) + part, "")
    .concat("\n");
}

/** Of what stands at the left of its lines two are left free around a class, else one. */
function separator(before, part) {
  if (before === "") return "";
  const afterClass = /\n {4}[^\n]*$/.test(before);
  return afterClass || /^(?:@|class )/.test(part) ? "\n\n\n" : "\n\n";
}

function numbers(name, types) {
  const lines = Object.entries(types).map(([message, type]) => `    "${message}": ${type},\n`);
  return `${name}: Final[Mapping[str, int]] = {\n${lines.join("")}}`;
}

function union(messages) {
  return messages.map(({ name }) => name).join(" | ");
}

/** In one line, or one alternative in each. */
function alias(name, type) {
  const line = `${name} = ${type}`;
  if (line.length <= lineMax) return line;
  const literals = /^Literal\[(.*)\]$/.exec(type);
  if (literals) return `${name} = Literal[\n    ${literals[1].replaceAll(", ", ",\n    ")},\n]`;
  return `${name} = (\n    ${type.replaceAll(" | ", "\n    | ")}\n)`;
}

function declared({ name, schema, kind }, side) {
  if (kind === "record") return side.record(name, schema);
  if (kind === "variants")
    return alias(name, schema.options.map((one) => side.type(one)).join(" | "));
  return alias(name, side.unnamed(schema));
}

class Side {
  constructor(shapes) {
    this.shapes = shapes;
  }

  type(schema) {
    return this.shapes.nameOf(schema) ?? this.unnamed(schema);
  }

  unnamed(schema) {
    const own = this.checked(checkOf(schema));
    if (own !== undefined) return own;
    const { def } = schema;
    switch (def.type) {
      case "string":
        return "str";
      case "boolean":
        return "bool";
      case "number":
        return isInteger(schema) ? "int" : "float";
      case "custom":
        return "bytes";
      case "unknown":
        return "Any";
      case "enum":
        return `Literal[${schema.options.map(literal).join(", ")}]`;
      case "literal":
        return `Literal[${def.values.map(literal).join(", ")}]`;
      case "nullable":
        return `${this.type(def.innerType)} | None`;
      case "array":
        return `${this.list}[${this.type(def.element)}]`;
      case "tuple":
        return this.tuple(def.items);
      case "record":
        return `Mapping[${this.type(def.keyType)}, ${this.type(def.valueType)}]`;
      case "union":
        return def.options.map((option) => this.type(option)).join(" | ");
      default:
        throw new Error(`no type in Python for ${def.type}`);
    }
  }

  /** Its last element may be optional. */
  tuple(items) {
    const last = items.at(-1);
    if (last.def.type !== "optional")
      return `tuple[${items.map((item) => this.type(item)).join(", ")}]`;
    const before = items.slice(0, -1);
    return `${this.tuple(before)} | ${this.tuple([...before, last.def.innerType])}`;
  }
}

class Coming extends Side {
  list = "Sequence";

  constructor(shapes, defaults) {
    super(shapes);
    this.defaults = defaults;
  }

  checked(check) {
    return typesOfChecks[check];
  }

  record(name, schema) {
    const lines = Object.entries(schema.shape)
      .filter(([, type]) => !isTag(type))
      .map(
        ([key, type]) =>
          `    ${this.#field(key, type, usualOf(type) ?? this.defaults[name]?.[key])}\n`,
      );
    const body = lines.length > 0 ? lines.join("") : "    pass\n";
    return `@dataclass(frozen=True, slots=True)\nclass ${name}:\n${body}`.trimEnd();
  }

  #field(key, schema, neutral) {
    const field = snake(key);
    if (schema.def.type !== "optional") {
      const type = this.type(schema);
      return neutral === undefined
        ? `${field}: ${type}`
        : `${field}: ${type} = ${value(neutral, type)}`;
    }
    const absent = absentOf(schema);
    const type = this.type(schema.def.innerType);
    if (absent === undefined) return `${field}: ${type} | None = None`;
    return `${field}: ${type} = ${value(absent, type)}`;
  }
}

function value(given, type) {
  if (type === "float") return Number.isInteger(given) ? `${given}.0` : String(given);
  if (type.startsWith("Sequence[")) return `(${given.map(literal).join(", ")})`;
  if (type.startsWith("list[")) return `field(default_factory=list)`;
  if (type.startsWith("dict[")) return `field(default_factory=dict)`;
  return literal(given);
}

class Going extends Side {
  list = "list";

  checked() {
    return undefined;
  }

  record(name, schema) {
    const lines = Object.entries(schema.shape).map(([key, type]) =>
      type.def.type === "optional"
        ? `    ${key}: NotRequired[${this.type(type.def.innerType)}]\n`
        : `    ${key}: ${this.type(type)}\n`,
    );
    return `class ${name}(TypedDict):\n${lines.join("")}`.trimEnd();
  }
}
