/** `mlx-serving serve`: its options. What it does is in `run-server.ts`, loaded once they are right. */
import { Command, Option } from "commander";
import { resolveConfig } from "../config.js";
import { flagOf, type OptionName, optionNames, placeholderOf, serveOptions } from "../options.js";

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
    const { config: file, build, ...options } = flags;
    // `--no-build` is the absence of `build` to the parser of flags.
    if (build === false) options.noBuild = true;
    const named = file ?? process.env.MLX_SERVING_CONFIG;
    const config = resolveConfig({
      flags: options,
      environment: process.env,
      file: named === undefined || named === "" ? undefined : String(named),
    });
    await (await import("./run-server.js")).runServer(config);
  });
}

/** An option of which nothing else is said. */
const plain = { repeatable: false, hidden: false };

function optionOf(name: OptionName): Option {
  const { help, default: fallback, repeatable, hidden } = { ...plain, ...serveOptions[name] };
  const flag = flagOf(name);
  if (flag.startsWith("--no-")) return new Option(flag, help);
  const text = defaultText(name, fallback);
  const shown = text === "" ? "" : ` (default: ${text})`;
  const option = new Option(`${flag} ${placeholderOf(name)}`, help + shown).hideHelp(hidden);
  if (!repeatable) return option;
  return option.argParser((value: string, before: string[] | undefined) => [
    ...(before ?? []),
    value,
  ]);
}

/** Empty: there is none, or none of which there would be something to say. */
function defaultText(name: OptionName, value: unknown): string {
  if (value === undefined) return "";
  if (typeof value === "boolean") return value ? "on" : "off";
  const kind = placeholderOf(name);
  if (kind === "<duration>") return durationText(Number(value));
  if (kind === "<bytes>") return bytesText(Number(value));
  if (typeof value === "object" && value !== null && "share" in value)
    return `${100 * Number(value.share)}%`;
  return String(value);
}

function bytesText(bytes: number): string {
  return bytes % 2 ** 30 === 0 ? `${bytes / 2 ** 30}GiB` : `${bytes / 2 ** 20}MiB`;
}

function durationText(ms: number): string {
  return ms % 3_600_000 === 0 ? `${ms / 3_600_000}h` : `${ms / 1000}s`;
}
