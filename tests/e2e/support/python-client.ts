/** The official Python client in an environment of its own, made once from pinned versions. */
import { existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { acquireLock } from "../../../scripts/lib/lock.mjs";
import { packageRoot } from "../../../scripts/lib/paths.mjs";
import { run } from "../../../scripts/lib/process.mjs";
import { ensureUv, findPython } from "../../../scripts/lib/python.mjs";
import { isFresh, takeStamp, writeStamp } from "../../../scripts/lib/stamp.mjs";

const folder = join(packageRoot, ".setup", "openai-python");
const stamp = join(folder, "made.json");
const requirements = "tests/e2e/requirements.txt";
const interpreter = join(folder, "bin", "python");
const script = fileURLToPath(new URL("../openai_client.py", import.meta.url));

/** Path of the interpreter that has the client. */
export async function ensurePythonClient(): Promise<string> {
  const release = await acquireLock(`${folder}.lock`);
  try {
    const isMade = existsSync(interpreter) && isFresh(stamp, packageRoot, [requirements]);
    if (!isMade) await make();
    return interpreter;
  } finally {
    release();
  }
}

async function make(): Promise<void> {
  rmSync(folder, { recursive: true, force: true });
  const python = await findPython();
  const uv = await ensureUv(python.path);
  await run(uv, ["venv", "--no-project", "--python", python.path, folder]);
  const install = ["pip", "install", "--require-hashes", "--python", interpreter];
  await run(uv, [...install, "--requirement", join(packageRoot, requirements)]);
  writeStamp(stamp, takeStamp(packageRoot, [requirements]));
}

export interface PythonAnswers {
  chat: string;
  responses: string;
  connect: string;
}

/** Asks the same question by chat, responses and `responses.connect()`. */
export async function askFromPython(
  url: string,
  question: string,
  maxTokens: number,
): Promise<PythonAnswers> {
  const python = await ensurePythonClient();
  const output = await run(python, [script, `${url}/v1`, question, String(maxTokens)]);
  return JSON.parse(output) as PythonAnswers;
}
