/** JSON schemas as Markdown: a table of fields, and each type in a few words. Pure. */

const refName = (ref) => ref.split("/").at(-1);
const code = (value) => `\`${String(value).replaceAll("`", "'")}\``;
/** What a cell of a table may hold. */
const cell = (text) => text.replaceAll("|", "\\|").replaceAll("\n", " ");

/**
 * A type in a few words, with links to the components that it names.
 * @param {any} schema
 * @param {(name: string) => string} linkOf
 */
export function typeOf(schema, linkOf) {
  const inner = (one) => typeOf(one, linkOf);
  if (schema === true || schema === undefined) return "any";
  if (schema === false) return "never";
  if (schema.$ref !== undefined)
    return `[${refName(schema.$ref)}](${linkOf(refName(schema.$ref))})`;
  if (schema.const !== undefined) return code(JSON.stringify(schema.const));
  if (schema.enum !== undefined)
    return schema.enum.map((one) => code(JSON.stringify(one))).join(" or ");
  const options = schema.anyOf ?? schema.oneOf;
  if (options !== undefined) return unique(options.map(inner)).join(" or ");
  if (schema.allOf !== undefined) return unique(schema.allOf.map(inner)).join(" and ");
  if (schema.type === "array")
    return `list of ${schema.items === undefined ? "any" : inner(schema.items)}`;
  if (Array.isArray(schema.type)) return schema.type.join(" or ");
  return schema.type ?? "any";
}

const unique = (words) => [...new Set(words)];

const bounds = {
  minimum: "from",
  exclusiveMinimum: "above",
  maximum: "to",
  exclusiveMaximum: "below",
  minLength: "at least",
  maxLength: "at most",
  minItems: "at least",
  maxItems: "at most",
};
const units = {
  minLength: " characters",
  maxLength: " characters",
  minItems: " entries",
  maxItems: " entries",
};

/** Its bounds, of one or of each kind that it may have. */
export function boundsOf(schema) {
  if (typeof schema !== "object" || schema === null) return "";
  const own = Object.entries(bounds)
    .filter(
      ([name]) => schema[name] !== undefined && Math.abs(schema[name]) < Number.MAX_SAFE_INTEGER,
    )
    .map(([name, word]) => `${word} ${schema[name].toLocaleString("en")}${units[name] ?? ""}`);
  const others = (schema.anyOf ?? schema.oneOf ?? []).map(boundsOf).filter((text) => text !== "");
  return unique([own.join(" "), ...others].filter((text) => text !== "")).join("; ");
}

/**
 * The fields of an object, a row each.
 * @returns {string} Empty for what is no object, or has none.
 */
export function fieldsTable(schema, linkOf) {
  const fields = Object.entries(schema.properties ?? {});
  if (fields.length === 0) return "";
  const needed = new Set(schema.required ?? []);
  const rows = fields.map(([name, one]) => {
    const words = [one.description, boundsOf(one)].filter(Boolean).join(" — ");
    const type = cell(typeOf(one, linkOf));
    return `| ${code(name)}${needed.has(name) ? " *" : ""} | ${type} | ${cell(words)} |`;
  });
  return ["| field | type | |", "|---|---|---|", ...rows].join("\n");
}
