/** Error bodies as clients see them. */
import { z } from "zod";

export const ErrorBody = z.strictObject({
  message: z.string(),
  type: z.string(),
  param: z.string().nullable(),
  code: z.string().nullable(),
});
export type ErrorBody = z.infer<typeof ErrorBody>;

/** Body of every HTTP error, and the last chunk of a chat or completion stream that failed. */
export const ErrorResponse = z.strictObject({ error: ErrorBody });
export type ErrorResponse = z.infer<typeof ErrorResponse>;
