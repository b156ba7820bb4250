/**
 * `mlx-serving/browser`: a response as a page shows it, for any framework and for none.
 *
 * @packageDocumentation
 */
export type { ResponseSource } from "./source.js";
export type { ResponseState, ResponseStatus } from "./state.js";
export { createResponseStore, type ResponseStore, type ResponseStoreOptions } from "./store.js";
