/** The log on stderr: JSON lines for machines, short lines on a terminal. */
import { Writable } from "node:stream";
import pino, { type DestinationStream, type Logger } from "pino";
import { errColors } from "../colors.js";

const levelNames: Record<number, string> = {
  10: errColors.dim("trace"),
  20: errColors.dim("debug"),
  30: errColors.green("info"),
  40: errColors.yellow("warn"),
  50: errColors.red("error"),
  60: errColors.red("fatal"),
};
const ownFields = new Set(["level", "time", "msg", "pid", "hostname"]);

export interface LoggerOptions {
  level: string;
  /** Default: stderr. */
  print?: ((text: string) => void) | undefined;
  /** Default: whether stderr is a terminal. */
  pretty?: boolean | undefined;
}

/** `print` gets whole lines: whoever draws a progress bar can step aside for them. */
export function createLogger(options: LoggerOptions): Logger {
  const { level, print, pretty = Boolean(process.stderr.isTTY) } = options;
  const settings = { level, base: null, timestamp: pino.stdTimeFunctions.isoTime };
  if (!pretty) {
    const out = print === undefined ? pino.destination({ dest: 2, sync: true }) : lines(print);
    return pino(settings, out);
  }
  const write = print ?? ((text: string) => void process.stderr.write(text));
  return pino(
    settings,
    lines((line) => write(prettyLine(line))),
  );
}

function lines(print: (text: string) => void): DestinationStream {
  return new Writable({
    decodeStrings: false,
    write(chunk, _encoding, done) {
      print(String(chunk));
      done();
    },
  });
}

/** `12:30:01 info  worker is ready  worker=w1` from pino's JSON. */
export function prettyLine(line: string): string {
  const record = JSON.parse(line) as Record<string, unknown>;
  const time = String(record.time).slice(11, 19);
  const fields = Object.entries(record)
    .filter(([name]) => !ownFields.has(name))
    .map(
      ([name, value]) =>
        errColors.dim(`${name}=`) + (typeof value === "string" ? value : JSON.stringify(value)),
    );
  const level = levelNames[Number(record.level)] ?? String(record.level);
  return `${errColors.dim(time)} ${level}  ${[String(record.msg ?? ""), ...fields].join("  ")}\n`;
}
