/** `mlx-serving keys`: adds, lists and revokes keys in a key file. A running server takes the change up by itself. */
import { existsSync } from "node:fs";
import { Command, Option } from "commander";
import { errColors } from "../colors.js";
import { ConfigError, resolveConfig } from "../config.js";
import { editKeyFile, withKey, withoutKey } from "../keys/edit.js";
import { type KeyEntry, limitNames } from "../keys/entry.js";
import { fields, keyName, timeOf } from "../keys/fields.js";
import { readKeyLines } from "../keys/file.js";
import type { KeyLine } from "../keys/parse.js";
import { formatTable } from "./format.js";

const help = `
The file is the one of serve: --api-key-file, MLX_SERVING_API_KEY_FILE, or "apiKeyFile" in
mlx-serving.config.json. A running server reads it again by itself, within seconds.

Examples:
  mlx-serving keys add alice --api-key-file keys.txt --requests-per-minute 60 --tokens-per-day 2M
  mlx-serving keys add grafana --admin metrics --api-key-file keys.txt
  mlx-serving keys list --api-key-file keys.txt
  mlx-serving keys revoke alice --api-key-file keys.txt`;

type Flags = Record<string, string | undefined>;

export function keysCommand(): Command {
  const keys = new Command("keys").description("Adds, lists and revokes keys in a key file.");
  const add = keys
    .command("add <name>")
    .description("makes a key and prints it, once: the file keeps its hash")
    .action(async (name: string, flags: Flags) => addKey(name, flags));
  for (const [name, { help: what, placeholder }] of Object.entries(fields))
    if (name !== "name") add.addOption(new Option(`--${name} ${placeholder}`, what));
  const list = keys
    .command("list", { isDefault: true })
    .description("names and limits; what keys have used, GET /admin/keys of the server says")
    .option("--json", "one JSON array")
    .action(listKeys);
  const revoke = keys
    .command("revoke <name>")
    .description("removes a key; what it has running may end")
    .action(async (name: string, flags: Flags) => revokeKey(name, flags));
  for (const command of [add, list, revoke])
    command.option("--api-key-file <file>", "the key file (default: that of serve)");
  return keys.addHelpText("after", help);
}

async function addKey(name: string, flags: Flags): Promise<void> {
  if (!keyName.test(name))
    throw new ConfigError(`The name must be ${fields.name!.expected}, not "${name}".`);
  const path = fileOf(flags);
  const written: Record<string, string> = { name, ...fieldsIn(flags) };
  if (written.expires !== undefined && (timeOf(written.expires) ?? 0) <= Date.now())
    throw new ConfigError(`--expires must be a time to come, not "${written.expires}".`);
  const { secret, text } = await editKeyFile(path, (before) => withKey(before, written));
  process.stdout.write(`${secret}\n`);
  note(`Added ${name} to ${path}. The key stands above, and nowhere else: it is not shown again.`);
  if (written.admin === "yes" && text.match(/\sadmin=(yes|metrics)(\s|$)/g)?.length === 1)
    note(
      "From now on only keys with admin=yes may use /admin, and these or admin=metrics /metrics.",
    );
}

/** As they are written in the file. Throws ConfigError for a value that is none. */
function fieldsIn(flags: Flags): Record<string, string> {
  const found: Record<string, string> = {};
  for (const [name, { read, expected }] of Object.entries(fields)) {
    const value = flags[camel(name)];
    if (value === undefined) continue;
    if (/\s/.test(value) || read(value) === undefined)
      throw new ConfigError(`--${name} must be ${expected}, not "${value}".`);
    found[name] = value;
  }
  return found;
}

function listKeys(flags: Flags & { json?: boolean }): void {
  const lines = readKeyLines(existing(fileOf(flags)));
  const shown = flags.json
    ? JSON.stringify(lines.map(statusOf), undefined, 2)
    : formatTable([
        ["NAME", "KEY", "LIMITS", "PRIORITY", "MODELS", "EXPIRES", "ADMIN"],
        ...lines.map(rowOf),
      ]);
  process.stdout.write(`${shown}\n`);
}

async function revokeKey(name: string, flags: Flags): Promise<void> {
  const path = existing(fileOf(flags));
  await editKeyFile(path, (before) => {
    const text = withoutKey(before, name);
    if (text !== undefined) return { text };
    throw new ConfigError(`${path} has no key ${name}; see mlx-serving keys list.`);
  });
  note(`Revoked ${name} in ${path}. A running server refuses it within seconds.`);
}

function fileOf({ apiKeyFile }: Flags): string {
  const path = apiKeyFile ?? resolveConfig({ environment: process.env }).apiKeyFile;
  if (path !== undefined) return path;
  throw new ConfigError(
    "Which key file? Name it with --api-key-file, in MLX_SERVING_API_KEY_FILE or in mlx-serving.config.json.",
  );
}

function existing(path: string): string {
  if (existsSync(path)) return path;
  throw new ConfigError(`The API key file ${path} does not exist; mlx-serving keys add makes one.`);
}

function rowOf({ entry, secret }: KeyLine): string[] {
  const { name, limits, priority, priorityMax, models, expiresAt, admin } = entry;
  const words = fieldWords(limits);
  const most = priorityMax === undefined ? "" : `at most ${priorityMax}`;
  return [
    name,
    secret === undefined ? "hash" : "in clear",
    words === "" ? "none" : words,
    [priority, most].filter(Boolean).join(", ") || "any",
    models?.join(",") ?? "all",
    expiresAt === undefined ? "never" : expiryText(expiresAt),
    admin ?? "–",
  ];
}

function expiryText(expiresAt: number): string {
  const text = new Date(expiresAt).toISOString().replace(/:00\.000Z$/, "Z");
  return expiresAt <= Date.now() ? `${text} (over)` : text;
}

function fieldWords(limits: KeyEntry["limits"]): string {
  const given = limitNames.filter((name) => limits[name] !== undefined);
  return given.map((name) => `${kebab(name)}=${limits[name]}`).join(" ");
}

function statusOf({ entry, secret, line }: KeyLine) {
  const { hash: _, expiresAt, limits, ...rest } = entry;
  return {
    line,
    ...rest,
    limits,
    expiresAt: expiresAt === undefined ? null : new Date(expiresAt).toISOString(),
    stored: secret === undefined ? "hash" : "clear",
  };
}

const camel = (name: string) =>
  name.replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());
const kebab = (name: string) => name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);

function note(text: string): void {
  process.stderr.write(`${errColors.dim(text)}\n`);
}
