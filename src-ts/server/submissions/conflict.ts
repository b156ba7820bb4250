/** Fields that are right alone and wrong together: what is said of them in every API, and the checks that several have. */
import type { ServingError } from "../../errors.js";
import { failure } from "../../failures.js";

/** What is wrong only beside another field. */
export function conflict(param: string, message: string): ServingError {
  return failure("invalid_value", { message, param });
}

/** Throws 400 for options of a stream where none is asked for. */
export function checkStreamOptions(body: {
  stream?: boolean | null | undefined;
  stream_options?: object | null | undefined;
}): void {
  if (body.stream_options != null && !body.stream)
    throw conflict("stream_options", "stream_options needs stream: true.");
}
