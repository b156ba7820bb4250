/** Schemas in the manner of tools and APIs, and who says whether an answer is valid. */
import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { Ajv, type ValidateFunction } from "ajv";
import { Ajv2020 } from "ajv/dist/2020.js";
import formats from "ajv-formats";

const folder = resolve(import.meta.dirname, "../fixtures/schemas");

export interface NamedSchema {
  name: string;
  schema: Record<string, unknown>;
}

/** Of all files, a schema a line: those with `matching` in their names, and of these one of each `every`, the first is the `from`th. */
export function namedSchemas(matching = "", every = 1, from = 1): NamedSchema[] {
  return all()
    .filter(({ name }) => name.includes(matching))
    .filter((_, index) => index % every === from - 1);
}

function all(): NamedSchema[] {
  return readdirSync(folder)
    .filter((file) => file.endsWith(".jsonl"))
    .toSorted()
    .flatMap((file) =>
      readFileSync(join(folder, file), "utf8")
        .trim()
        .split("\n")
        .map((line, index) => {
          const { name, schema } = JSON.parse(line) as NamedSchema;
          return { name: `${file}:${index + 1} ${name}`, schema };
        }),
    );
}

/** Multiples of decimals by doubles need a tolerance; what an object inherits is no property of it. */
const options = {
  strict: false,
  multipleOfPrecision: 3,
  ownProperties: true,
  logger: false,
} as const;

/** Of the draft that a schema names, else of 2020-12. */
export function validatorOf({ $schema, ...schema }: Record<string, unknown>): ValidateFunction {
  const isOld = typeof $schema === "string" && $schema.includes("draft-07");
  const ajv = isOld ? new Ajv(options) : new Ajv2020(options);
  (formats as unknown as (to: Ajv) => void)(ajv);
  return ajv.compile(schema);
}

/** Why an answer is not valid; undefined if it is. */
export function complaintOf(validate: ValidateFunction, text: string): string | undefined {
  try {
    if (validate(JSON.parse(text))) return undefined;
  } catch (error) {
    return String(error);
  }
  return JSON.stringify(validate.errors?.[0]);
}
