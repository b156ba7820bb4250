/**
 * What is at a path that is to be a model: a folder as mlx-lm reads it, or a GGUF file. Whether it can be served, a
 * worker tells; this is so that a wrong path costs no start.
 */
import { readdirSync, statSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { ConfigError } from "../config.js";
import { isGguf } from "./gguf.js";

export interface ModelFiles {
  kind: "folder" | "gguf";
  path: string;
}

const ggufEnding = ".gguf";

/** A model of a path is called as the folder is, or as the file without its ending. */
export function idOf(path: string): string {
  return basename(resolve(path), ggufEnding);
}

/** Throws ConfigError, which says what is there instead of a model, or what of it is missing. */
export function modelAt(name: string): ModelFiles {
  const path = resolve(name);
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat?.isFile()) return ggufAt(path);
  if (!stat?.isDirectory()) throw new ConfigError(`The model folder ${path} does not exist.`);
  const names = readdirSync(path);
  const lacks = missingPart(names);
  if (lacks === undefined) return { kind: "folder", path };
  const ggufs = names.filter((one) => one.endsWith(ggufEnding)).sort();
  if (lacks !== configFile || ggufs.length === 0) {
    throw new ConfigError(`The model folder ${path} has no ${lacks}.`);
  }
  if (ggufs.length > 1) {
    throw new ConfigError(
      `The folder ${path} has ${ggufs.length} GGUF files; name one of them, such as ${join(path, ggufs[0]!)}.`,
    );
  }
  return ggufAt(join(path, ggufs[0]!));
}

function ggufAt(path: string): ModelFiles {
  if (!isGguf(path)) {
    throw new ConfigError(`${path} is a file; a model is a folder, or a GGUF file.`);
  }
  return { kind: "gguf", path };
}

const configFile = "config.json";
const tokenizerFiles = [
  "tokenizer.json",
  "tokenizer.model",
  "tiktoken.model",
  "vocab.json",
  "vocab.txt",
  "spiece.model",
];

function missingPart(names: readonly string[]): string | undefined {
  if (!names.includes(configFile)) return configFile;
  if (!names.some((name) => /^model.*\.safetensors$/.test(name))) {
    return "weights (model*.safetensors)";
  }
  const isTokenizer = (name: string) => tokenizerFiles.includes(name) || name.endsWith(".tiktoken");
  return names.some(isTokenizer) ? undefined : "tokenizer (tokenizer.json)";
}

/** Bytes of a file, or of all files in a folder and below. */
export function bytesAt(path: string): number {
  if (statSync(path).isFile()) return statSync(path).size;
  return readdirSync(path, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() || entry.isSymbolicLink())
    .reduce((total, { parentPath, name }) => total + statSync(join(parentPath, name)).size, 0);
}
