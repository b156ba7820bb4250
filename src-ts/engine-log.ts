/**
 * What the log says of the engine and of its requests: ids, counts and codes, and nothing of what was said. Every line
 * about a request has the id of its response, and `requestId` where a client's call is known.
 */
import type { Engine, EngineObserver } from "./engine/api.js";

export interface EngineLogger {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

/** Returns how to stop. */
export function logEngine(engine: Pick<Engine, "observe">, logger: EngineLogger): () => void {
  const observer: EngineObserver = {
    log: (level, message, fields) => logger[level](fields, message),
    ended: ({ id: response, model }, { ending, usage, e2eMs, origin }) => {
      const request = { response, requestId: origin?.requestId, model, ms: Math.round(e2eMs) };
      const tokens = { promptTokens: usage.promptTokens, tokens: usage.completionTokens };
      if (ending.kind === "failed")
        logger.warn({ ...request, ...tokens, code: ending.code }, "response failed");
      else logger.debug({ ...request, ...tokens, finish: ending.kind }, "response ended");
    },
    migrated: ({ id: response }, { attempt, reason, origin }) =>
      logger.debug(
        { response, requestId: origin?.requestId, attempt, reason },
        "response lost its worker and goes on",
      ),
    refused: ({ id: response, code, status, model, origin }) =>
      logger.debug(
        { response, requestId: origin?.requestId, model, code, status },
        "request turned away",
      ),
  };
  return engine.observe(observer);
}
