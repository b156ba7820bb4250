/** The checks of what comes to a worker, in Python: for every class of `messages.py` what its fields must be. */
import {
  boundsOf,
  checkOf,
  isInteger,
  isTag,
  isTagged,
  isU32,
  literal,
  Shapes,
  snake,
  tagOf,
  withoutMessages,
} from "./shapes.mjs";

/** Its requests are read one by one, so that a bad one leaves the others alone: see link/parse.py. */
const readByHand = ["admit"];

/**
 * @param link The module of the schemas, src-ts/worker/messages.ts.
 * @returns {string} `link/bodies.py`
 */
export function messageChecks({ toWorker, toWorkerTypes, ...link }) {
  const shapes = new Shapes(toWorker, withoutMessages(link, toWorker));
  const byHand = shapes.messages.filter(({ message }) => readByHand.includes(message));
  const kept = shapes
    .declarations()
    .filter(({ kind, schema }) => kind !== "alias" && !byHand.some((one) => one.schema === schema));
  const writer = new Writer(shapes);
  const records = kept.map((declaration) => writer.declared(declaration));
  const messages = shapes.messages.filter(({ message }) => !readByHand.includes(message));
  const table = messages.map(
    ({ name, message }) => `    ${toWorkerTypes[message]}: ${snakeOf(name)},\n`,
  );
  const classes = kept.map(({ name }) => name).concat("ToWorker");
  return `"""What the fields of each message to the worker must be.

Made by \`npm run docs\` from src-ts/worker/messages.ts: change that file.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ..messages import (
${listed(classes)})
from .checks import (
${listed(["Check", "Record", "Tagged", ...writer.used])})

${records.join("\n")}

MESSAGES: Final[Mapping[int, Check[ToWorker]]] = {
${table.join("")}}
"""By their types on the wire, but those that are read one by one."""
`;
}

/** In the order of ruff: classes first, small letters as capitals. */
function listed(names) {
  const group = (name) => (/^[A-Z]/.test(name) ? 0 : 1);
  const order = (a, b) => group(a) - group(b) || (a.toLowerCase() < b.toLowerCase() ? -1 : 1);
  return [...new Set(names)]
    .sort(order)
    .map((name) => `    ${name},\n`)
    .join("");
}

const snakeOf = (name) => snake(name[0].toLowerCase() + name.slice(1));

class Writer {
  /** Names of checks.py. */
  used = new Set();

  constructor(shapes) {
    this.shapes = shapes;
  }

  declared({ name, schema }) {
    if (isTagged(schema)) {
      const variants = schema.options.map(
        (option) => `        "${tagOf(schema, option)}": ${this.check(option)},\n`,
      );
      const tag = schema.def.discriminator;
      return `${snakeOf(name)} = Tagged[${name}](\n    "${tag}",\n    {\n${variants.join("")}    },\n)`;
    }
    const fields = Object.entries(schema.shape)
      .filter(([, type]) => !isTag(type))
      .map(([key, type]) => `    ${key}=${this.check(type)},\n`);
    if (fields.length === 0) return `${snakeOf(name)} = Record(${name})`;
    return `${snakeOf(name)} = Record(\n    ${name},\n${fields.join("")})`;
  }

  check(schema) {
    const { def } = schema;
    if (def.type === "optional") return this.#use("optional", [this.check(def.innerType)]);
    const own = checkOf(schema);
    if (own !== undefined) return this.#use(own);
    if (def.type === "object" || isTagged(schema)) return snakeOf(this.shapes.nameOf(schema));
    switch (def.type) {
      case "string":
        return this.#use("string");
      case "boolean":
        return this.#use("boolean");
      case "number":
        return this.#number(schema);
      case "enum":
        return this.#use("one_of", schema.options.map(literal));
      case "literal":
        return this.#use("one_of", def.values.map(literal));
      case "array":
        return this.#use("list_of", [this.check(def.element)]);
      case "tuple":
        return this.#use(
          "tuple_of",
          def.items.map((item) => this.check(item)),
        );
      case "union":
        return this.#union(def.options);
      default:
        throw new Error(`no check in Python for ${def.type}`);
    }
  }

  #number(schema) {
    if (isU32(schema)) return this.#use("u32");
    const { low, high } = boundsOf(schema);
    if (isInteger(schema)) return this.#use("integer", [low, high]);
    return low === -Infinity && high === Infinity
      ? this.#use("finite")
      : this.#use("number", [low, high]);
  }

  /** The first one says what is wrong with a value that is none of them. */
  #union([first, ...others]) {
    const named = others.map((option) => `${typeInPython(option)}=${this.check(option)}`);
    return this.#use("by_type", [this.check(first), ...named]);
  }

  #use(name, given) {
    this.used.add(name);
    return given === undefined ? name : `${name}(${given.join(", ")})`;
  }
}

function typeInPython({ def }) {
  const name = { object: "dict", custom: "bytes", array: "list", string: "str" }[def.type];
  if (name === undefined) throw new Error(`a union of ${def.type} can't be told apart`);
  return name;
}
