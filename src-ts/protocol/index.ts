/** The public protocol: schemas, their types, and every bound. Imports no other part of the project. */
export * from "./anthropic.js";
export * from "./chat.js";
export * from "./completions.js";
export * from "./embeddings.js";
export * from "./errors.js";
export * from "./events.js";
export { isNotSupported, Priority, priorityValues } from "./fields.js";
export * from "./keys.js";
export * as limits from "./limits.js";
export type { LiveEvent, RequestRow, Sample, Snapshot, Timeline, Transition } from "./live.js";
export * from "./models.js";
export * from "./ollama.js";
export * from "./operations.js";
export * from "./responses.js";
export * from "./sessions.js";
export * from "./tickets.js";
export * from "./tokens.js";
