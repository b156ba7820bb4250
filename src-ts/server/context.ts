/** What every route and socket works with. */
import type { Engine } from "../engine/api.js";
import type { ServingError } from "../errors.js";
import type { BodyBudget } from "./bodies/budget.js";
import type { ServerConfig, ServerLogger } from "./options.js";

export interface ServerContext {
  engine: Engine;
  bodies: BodyBudget;
  config: ServerConfig;
  logger: ServerLogger;
  /** Is told of every error that a client gets. */
  onError?(error: ServingError): void;
  /** Monotonic milliseconds. */
  now(): number;
}
