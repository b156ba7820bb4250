/** Why a schema is refused, and where in it. */
import { ServingError } from "../../../errors.js";
import { failure, failures } from "../../../failures.js";
import { paramOf } from "../../validation/validate.js";
import { keywords } from "./keywords.js";

/** Of which failure it is the cause: `keyword` is to blame, one of a fixed list, or "schema". */
export class SchemaFault {
  readonly keyword: string;

  constructor(path: Path) {
    const last = path.at(-1);
    this.keyword = typeof last === "string" && keywords.has(last) ? last : "schema";
  }
}

/** From the body's root to the place in the schema. */
export type Path = readonly PropertyKey[];

/** Valid JSON Schema that no grammar here can enforce. `place`: what would have to go for the rest to be. */
export class Unenforceable extends ServingError {
  constructor(
    path: Path,
    why: string,
    readonly place: Path,
  ) {
    const param = paramOf(path);
    const { status } = failures.unsupported_parameter;
    const cause = new SchemaFault(path);
    super(`${param} can't be enforced: ${why}.`, {
      code: "unsupported_parameter",
      status,
      param,
      cause,
    });
  }
}

/** Throws 400. */
export function unenforceable(path: Path, why: string, place: Path = path): never {
  throw new Unenforceable(path, why, place);
}

/** Throws 400: what can't be meant, or is no JSON Schema. `what`: what follows the path. */
export function wrong(path: Path, what: string): never {
  const param = paramOf(path);
  const cause = new SchemaFault(path);
  throw failure("invalid_value", { message: `${param} ${what}.`, param, cause });
}
