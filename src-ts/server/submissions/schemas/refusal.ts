/** Why a schema is refused, and where in it. */
import { ServingError } from "../../../errors.js";
import { failure, failures } from "../../../failures.js";
import { paramOf } from "../../validation/validate.js";

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
    super(`${param} can't be enforced: ${why}.`, { code: "unsupported_parameter", status, param });
  }
}

/** Throws 400. */
export function unenforceable(path: Path, why: string, place: Path = path): never {
  throw new Unenforceable(path, why, place);
}

/** Throws 400: what can't be meant, or is no JSON Schema. `what`: what follows the path. */
export function wrong(path: Path, what: string): never {
  const param = paramOf(path);
  throw failure("invalid_value", { message: `${param} ${what}.`, param });
}
