/** How the command line fails: one sentence on stderr, and an exit code that says whose fault it was. */
import { CommanderError } from "commander";
import { SetupError } from "../../setup/process.mjs";
import { isClientError } from "../client/errors.js";
import { errColors } from "../colors.js";
import { ConfigError } from "../config.js";
import { isServingError } from "../errors.js";

export const exitCodes = { clean: 0, runtime: 1, usage: 2 } as const;

/** Codes of a worker for what was asked for and isn't there, or can't be served. */
const missingCodes = new Set([
  "native_missing",
  "model_not_found",
  "model_unsupported",
  "tokenizer_missing",
  "weights_unsafe",
  "weights_corrupt",
  "memory_budget_exceeded",
]);

/** A failure that the command itself foresaw. */
export class CommandError extends Error {
  override readonly name = "CommandError";
  constructor(
    message: string,
    readonly exitCode: number = exitCodes.runtime,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** Prints what went wrong and returns the exit code. Bugs keep their stack. */
export function reportFailure(error: unknown, stream: NodeJS.WriteStream = process.stderr): number {
  if (error instanceof CommanderError)
    return error.exitCode === 0 ? exitCodes.clean : exitCodes.usage;
  const { message, exitCode } = describeFailure(error);
  stream.write(`${errColors.red("mlx-serving:")} ${message}\n`);
  return exitCode;
}

function describeFailure(error: unknown): { message: string; exitCode: number } {
  if (error instanceof CommandError) return error;
  if (error instanceof ConfigError) return { message: error.message, exitCode: exitCodes.usage };
  if (error instanceof SetupError) return describeSetup(error);
  if (isClientError(error)) return { message: error.message, exitCode: exitCodes.runtime };
  if (isServingError(error)) {
    const usage = missingCodes.has(error.code);
    const exitCode = usage ? exitCodes.usage : exitCodes.runtime;
    return { message: withoutTrace(error.message), exitCode };
  }
  const listening = describeListen(error);
  if (listening !== undefined) return listening;
  const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return { message: stack, exitCode: exitCodes.runtime };
}

/** A worker's last words may be a traceback, whose last line says it; the log has the rest. */
function withoutTrace(message: string): string {
  const lines = message.trim().split("\n");
  if (lines.length === 1) return message;
  return `${lines[0]?.split(": ")[0]}: ${lines.at(-1)?.trim()}`;
}

function describeSetup({ message, tail, logFile, exitCode }: SetupError) {
  const lines = tail.map((line: string) => `\n  | ${line}`).join("");
  const log = logFile === undefined ? "" : `\nThe whole log: ${logFile}`;
  return { message: `${message}${lines}${log}`, exitCode };
}

/** The sentence for an address that can't be listened on. */
function describeListen(error: unknown): { message: string; exitCode: number } | undefined {
  if (!(error instanceof Error) || !("syscall" in error) || !("code" in error)) return undefined;
  if (error.syscall !== "listen" && error.syscall !== "getaddrinfo") return undefined;
  const port = "port" in error ? String(error.port) : "";
  switch (error.code) {
    case "EADDRINUSE":
      return {
        message: `Port ${port} is in use; stop what listens there, or choose another with --port (0: any free one).`,
        exitCode: exitCodes.runtime,
      };
    case "EACCES":
      return {
        message: `Port ${port} needs more rights; choose one above 1023 with --port.`,
        exitCode: exitCodes.usage,
      };
    case "EADDRNOTAVAIL":
    case "ENOTFOUND":
      return {
        message: "This machine doesn't have the address that --host names; choose another.",
        exitCode: exitCodes.usage,
      };
    default:
      return undefined;
  }
}
