/**
 * `mlx-serving/machines/schemas`: Zod schemas of every machine's events and states, for whoever
 * takes them from outside (a link, a log, a test). Events are separate by who may say them, so
 * that a client cannot forge a worker's. Each schema is tied to the generated type in both
 * directions: neither can gain or lose a case without the other.
 */
export * as Batch from "./schemas/Batch.js";
export { limits } from "./schemas/exactly.js";
export * as Request from "./schemas/Request.js";
export * as Scheduler from "./schemas/Scheduler.js";
export * as Worker from "./schemas/Worker.js";
