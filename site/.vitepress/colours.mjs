/** Colours of code as classes in place of styles in attributes, which would make pages half as long again. */
import { createHash } from "node:crypto";

const names = new Map();

function toClass(node, add) {
  const { style } = node.properties;
  if (typeof style !== "string" || style === "") return;
  const name = `c-${createHash("sha256").update(style).digest("hex").slice(0, 6)}`;
  if ((names.get(name) ?? style) !== style) throw new Error(`${name} stands for two styles`);
  names.set(name, style);
  delete node.properties.style;
  add(node, name);
}

/** A transformer of the highlighter's. */
export const colours = {
  name: "colours",
  pre(node) {
    toClass(node, this.addClassToHast);
  },
  span(node) {
    toClass(node, this.addClassToHast);
  },
};

/** Of all code that was shown to it. */
export const coloursSheet = () =>
  Array.from(names, ([name, style]) => `.${name}{${style}}`)
    .sort()
    .join("");
