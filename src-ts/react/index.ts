/**
 * `mlx-serving/react`: a response as a component shows it. React is its user's, 18 or later.
 *
 * @packageDocumentation
 */
export type {
  ResponseSource,
  ResponseState,
  ResponseStatus,
  ResponseStoreOptions,
} from "../browser/index.js";
export { type UsedResponse, useResponse } from "./use-response.js";
