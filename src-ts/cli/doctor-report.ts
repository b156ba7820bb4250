/** `mlx-serving doctor --report`: what a bug report needs of a machine, and nothing that is secret or says whose it is. */
import { existsSync, readFileSync } from "node:fs";
import { arch, cpus, homedir, platform, release, totalmem, userInfo } from "node:os";
import { defaultConfigFile } from "../config.js";
import type { DoctorReport } from "../environment/doctor.js";

export interface ReportSources {
  env: NodeJS.ProcessEnv;
  home: string;
  user: string;
  /** Text of the configuration file here; undefined: there is none. */
  config: string | undefined;
}

/** Of these, what a server or a download goes by. */
const told =
  /^(MLX_SERVING_|HF_|HUGGING_FACE_|MLX_|CUDA_VISIBLE_DEVICES$|(HTTPS?|NO|ALL)_PROXY$|NODE_OPTIONS$|UV_)/i;
const secret = /KEY(?!_FILE)|TOKEN|SECRET|PASSWORD|CREDENTIAL/i;
/** Settings that have such a word in their name, and are none. */
const harmless = /CONTROL_?TOKENS|TOKENS_?PER/i;
const secretCharsMin = 6;

const isSecret = (name: string) => secret.test(name) && !harmless.test(name);

/** Markdown, to be pasted as it is. */
export function bugReport(report: DoctorReport, sources: ReportSources = ours()): string {
  const content = {
    system: {
      platform: platform(),
      release: release(),
      arch: arch(),
      cpu: cpus()[0]?.model ?? null,
      cpus: cpus().length,
      memory_bytes: totalmem(),
      libc: libc(),
    },
    variables: variablesIn(sources.env),
    config: configIn(sources.config),
    doctor: report,
  };
  const text = without(JSON.stringify(content, undefined, 2), sources);
  return `### mlx-serving doctor\n\n\`\`\`json\n${text}\n\`\`\`\n`;
}

function ours(): ReportSources {
  const config = existsSync(defaultConfigFile)
    ? readFileSync(defaultConfigFile, "utf8")
    : undefined;
  return { env: process.env, home: homedir(), user: userInfo().username, config };
}

function variablesIn(env: NodeJS.ProcessEnv): Record<string, string> {
  const entries = Object.entries(env).filter(([name]) => told.test(name));
  return Object.fromEntries(
    entries.sort().map(([name, value = ""]) => [name, isSecret(name) ? "(set)" : value]),
  );
}

/** Null: there is none. */
function configIn(text: string | undefined): unknown {
  if (text === undefined) return null;
  try {
    return JSON.parse(text, (key, value: unknown) => (isSecret(wordsOf(key)) ? "(set)" : value));
  } catch {
    // What is wrong with it says `serve`; its text may hold anything.
    return "(it can't be read)";
  }
}

/** \`apiKey\`, \`api-key\` as variables have it. */
const wordsOf = (key: string) => key.replace(/([A-Z])|-/g, "_$1").toUpperCase();

/** Secrets may stand in other values too; folders tell who somebody is. */
function without(text: string, { env, home, user }: ReportSources): string {
  const secrets = Object.entries(env)
    .filter(([name, value = ""]) => isSecret(name) && value.length >= secretCharsMin)
    .map(([, value]) => JSON.stringify(value).slice(1, -1));
  let clean = secrets.reduce((rest, value) => rest.replaceAll(value, "(secret)"), text);
  clean = clean.replace(/(\/\/)[^/\s"@]+@/g, "$1(secret)@");
  if (home.length > 1) clean = clean.replaceAll(home, "~");
  return user.length > 2 ? clean.replaceAll(`/${user}/`, "/(user)/") : clean;
}

function libc(): string | null {
  const { header } = process.report.getReport() as { header?: { glibcVersionRuntime?: string } };
  if (platform() !== "linux") return null;
  return header?.glibcVersionRuntime === undefined
    ? "other"
    : `glibc ${header.glibcVersionRuntime}`;
}
