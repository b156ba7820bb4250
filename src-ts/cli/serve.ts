/** `mlx-serving serve`: options, start, the ready line, signals. The server itself is `../serve.ts`. */
import { Command, Option } from "commander";
import { resolveConfig, unknownVariables } from "../config.js";
import {
  flagOf,
  type OptionName,
  optionNames,
  placeholderOf,
  type ServeConfig,
  serveOptions,
} from "../options.js";
import { serveConfig } from "../serve.js";
import { createLogger } from "./logger.js";
import { createStartupDisplay } from "./startup.js";
import { StopSignals } from "./stop.js";

const examples = `
Every option is also a variable (--max-batch: MLX_SERVING_MAX_BATCH) and a key of
mlx-serving.config.json (maxBatch). A flag wins over a variable, a variable over the file.

Examples:
  mlx-serving serve --port 9001
  mlx-serving serve --model ./my-model --max-batch 8 --memory-budget 12GiB
  mlx-serving serve --host 0.0.0.0 --api-key-file keys.txt
  mlx-serving serve --engine fake --fake-tokens-per-second 50`;

export function serveCommand(): Command {
  const command = new Command("serve")
    .description(
      "Starts the server. Prints one line on stdout when it is ready; logs go to stderr.",
    )
    .option(
      "--config <file>",
      "configuration file (default: mlx-serving.config.json, if there is one)",
    );
  for (const name of optionNames) command.addOption(optionOf(name));
  return command.addHelpText("after", examples).action(async (flags: Record<string, unknown>) => {
    const { config: file, ...options } = flags;
    const named = file ?? process.env.MLX_SERVING_CONFIG;
    const config = resolveConfig({
      flags: options,
      environment: process.env,
      file: named === undefined || named === "" ? undefined : String(named),
    });
    await runServer(config);
  });
}

function optionOf(name: OptionName): Option {
  const { help, default: fallback, repeatable } = { repeatable: false, ...serveOptions[name] };
  const shown = fallback === undefined ? "" : ` (default: ${defaultText(name, fallback)})`;
  const option = new Option(`${flagOf(name)} ${placeholderOf(name)}`, help + shown);
  if (!repeatable) return option;
  return option.argParser((value: string, before: string[] | undefined) => [
    ...(before ?? []),
    value,
  ]);
}

function defaultText(name: OptionName, value: unknown): string {
  const kind = placeholderOf(name);
  if (kind === "<duration>") return `${Number(value) / 1000}s`;
  if (kind === "<bytes>") return `${Number(value) / 2 ** 20}MiB`;
  return String(value);
}

/** Serves until a signal, then lets what runs end. */
async function runServer(config: ServeConfig): Promise<void> {
  const display = createStartupDisplay();
  const print = process.stderr.isTTY ? (text: string) => display.print(text) : undefined;
  const logger = createLogger({ level: config.logLevel, print });
  for (const name of unknownVariables(process.env)) {
    logger.warn(`the variable ${name} means nothing here and is ignored`);
  }
  const stop = new StopSignals((signal) => logger.info({ signal }, "stopping"));
  try {
    const server = await serveConfig(config, {
      signal: stop.signal,
      logger,
      onProgress: (text) => display.progress(text),
      onNote: (text) => logger.warn(text),
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
