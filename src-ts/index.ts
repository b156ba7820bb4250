/** `mlx-serving`: the server inside your program. */
export { ConfigError } from "./config.js";
export type * from "./engine/api.js";
export { SetupError } from "./environment/python.js";
export { type ErrorBody, type ErrorType, isServingError, ServingError } from "./errors.js";
export type { ServeInput as ServeOptions } from "./options.js";
export { type RunningServer, type ServeHooks, serve } from "./serve.js";
