/** What every route and socket works with. */
import type { ServingError } from "../errors.js";
import type { ServedEngine } from "./access/gate.js";
import type { Keys } from "./access/keys.js";
import type { BodyBudget } from "./bodies/budget.js";
import type { ServerConfig, ServerLogger } from "./options.js";

export interface ServerContext {
  /** Behind the limits of keys. */
  engine: ServedEngine;
  keys: Keys;
  bodies: BodyBudget;
  config: ServerConfig;
  logger: ServerLogger;
  /** Is told of every error that a client gets. */
  onError?(error: ServingError): void;
  /** Is told that somebody reads a response from its log, who was not the first to. */
  onResume?(transport: "sse" | "websocket"): void;
  /** Monotonic milliseconds. */
  now(): number;
}
