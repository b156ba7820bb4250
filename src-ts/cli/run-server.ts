/** A server as a program: start, the ready line, signals. The server itself is `../serve.ts`. */
import { unknownVariables } from "../config.js";
import type { ServeConfig } from "../options.js";
import { serveConfig } from "../serve.js";
import { telemetrySettings } from "../telemetry/settings.js";
import { createLogger } from "./logger.js";
import { createStartupDisplay } from "./startup.js";
import { StopSignals } from "./stop.js";

// Under npm the first second's signals are taken for one: see `stop.ts`.
const anotherSignal =
  process.env.npm_lifecycle_event === undefined
    ? "another signal"
    : "another signal, from a second after this one,";

/** Serves until a signal, then lets what runs end. */
export async function runServer(config: ServeConfig): Promise<void> {
  const display = createStartupDisplay();
  const print = process.stderr.isTTY ? (text: string) => display.print(text) : undefined;
  const logger = createLogger({ level: config.logLevel, print });
  for (const name of unknownVariables(process.env)) {
    logger.warn(`the variable ${name} means nothing here and is ignored`);
  }
  const stop = new StopSignals((signal) =>
    logger.info({ signal }, `stopping: what runs may end; ${anotherSignal} ends it at once`),
  );
  try {
    const server = await serveConfig(config, {
      signal: stop.signal,
      logger,
      telemetry: telemetrySettings(config.otlpEndpoint, process.env),
      onProgress: (text) => display.progress(text, logger),
      onEngine: (engine) => display.follow(engine, logger),
      onDrainRequested: () => stop.request("POST /admin/drain"),
    });
    display.end();
    process.stdout.write(`mlx-serving ready on ${server.url}\n`);
    await stop.requested;
    await server.drain();
  } catch (error) {
    if (!stop.signal.aborted) throw error;
  } finally {
    display.end();
  }
  // Nothing may keep a stopped server alive.
  process.exit(0);
}
