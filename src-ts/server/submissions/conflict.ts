import { ServingError } from "../../errors.js";

/** What is wrong only beside another field. */
export function conflict(param: string, message: string): ServingError {
  return new ServingError(message, { code: "invalid_value", status: 400, param });
}

/** Throws 400 for options of a stream where none is asked for. */
export function checkStreamOptions(body: {
  stream?: boolean | null | undefined;
  stream_options?: object | null | undefined;
}): void {
  if (body.stream_options != null && !body.stream)
    throw conflict("stream_options", "stream_options needs stream: true.");
}
