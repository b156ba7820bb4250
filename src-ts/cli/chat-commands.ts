/** What a line that begins with a slash does in a conversation. Knows the conversation, and neither terminal nor socket. */
import { outColors } from "../colors.js";
import { didYouMean } from "../nearest.js";
import type { AnswerOptions } from "./conversation.js";

/** What commands work on. */
export interface Talk {
  options: AnswerOptions;
  clear(): void;
  /** Ids and names of what the server has. */
  models(): Promise<readonly string[]>;
}

/** What to print; `leaves` ends the conversation. */
export interface Outcome {
  text: string;
  leaves?: true;
}

const help = `/help                 this
/clear                forgets what was said
/model                which models there are
/model ID             asks this one from now on
/set                  what is set
/set NAME VALUE       instructions, max-tokens or temperature; no value: the server's
/bye                  leaves, as Ctrl-D does
//…                   says something that begins with a slash
Ctrl-C                cancels an answer`;

/** A line for the model; undefined: it is a command. */
export function saidIn(line: string): string | undefined {
  const text = line.trimStart();
  if (text.startsWith("//")) return text.slice(1);
  return text.startsWith("/") ? undefined : line;
}

export async function obey(line: string, talk: Talk): Promise<Outcome> {
  const [, name = "", rest = ""] = /^\s*\/(\S*)\s*(.*?)\s*$/s.exec(line) ?? [];
  switch (name) {
    case "help":
    case "?":
      return { text: help };
    case "bye":
    case "exit":
    case "quit":
      return { text: "", leaves: true };
    case "clear":
      talk.clear();
      return { text: "Forgotten." };
    case "model":
      return { text: await chooseModel(rest, talk) };
    case "set":
      return { text: rest === "" ? shownSettings(talk.options) : set(rest, talk.options) };
    default:
      return { text: `There is no command /${name}; /help lists them.` };
  }
}

async function chooseModel(id: string, { options, models }: Talk): Promise<string> {
  const ids = await models();
  if (id === "")
    return ids.map((one) => (one === options.model ? outColors.bold(`${one} *`) : one)).join("\n");
  if (!ids.includes(id))
    return `There is no model ${id}; there is ${ids.join(", ")}.${didYouMean(id, ids)}`;
  options.model = id;
  return `Asks ${id}.`;
}

/** As a flag and as a setting. */
export interface NumberSetting {
  name: "maxOutputTokens" | "temperature";
  min: number;
  max: number;
  isWhole: boolean;
}

export const numberSettings: Readonly<Record<string, NumberSetting>> = {
  "max-tokens": { name: "maxOutputTokens", min: 1, max: Number.MAX_SAFE_INTEGER, isWhole: true },
  temperature: { name: "temperature", min: 0, max: 2, isWhole: false },
};

/** Undefined: it is none that this setting takes. */
export function numberIn(text: string, { min, max, isWhole }: NumberSetting): number | undefined {
  const value = Number(text);
  const isOne = text.trim() !== "" && value >= min && value <= max;
  return isOne && (!isWhole || Number.isInteger(value)) ? value : undefined;
}

export function expectedOf({ min, max, isWhole }: NumberSetting): string {
  const kind = isWhole ? "a whole number" : "a number";
  return max === Number.MAX_SAFE_INTEGER
    ? `${kind} from ${min} on`
    : `${kind} from ${min} to ${max}`;
}

function set(rest: string, options: AnswerOptions): string {
  const [, name = "", value = ""] = /^(\S+)\s*(.*)$/s.exec(rest) ?? [];
  if (name === "instructions") {
    options.instructions = value === "" ? undefined : value;
    return shownSettings(options);
  }
  const setting = Object.hasOwn(numberSettings, name) ? numberSettings[name] : undefined;
  if (setting === undefined)
    return `There is no setting ${name}; there are instructions, ${Object.keys(numberSettings).join(", ")}.`;
  const number = value === "" ? undefined : numberIn(value, setting);
  if (value !== "" && number === undefined)
    return `${name} must be ${expectedOf(setting)}, not "${value}".`;
  options[setting.name] = number;
  return shownSettings(options);
}

function shownSettings({ instructions, maxOutputTokens, temperature }: AnswerOptions): string {
  const rows = [
    ["instructions", instructions ?? "none"],
    ["max-tokens", maxOutputTokens ?? "the server's"],
    ["temperature", temperature ?? "the model's"],
  ] as const;
  return rows.map(([name, value]) => `${name.padEnd(12)}  ${value}`).join("\n");
}
