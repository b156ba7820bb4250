/** The official Python client in an environment of its own, made once from pinned versions. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { ensureLockedEnvironment } from "../../../scripts/lib/locked-environment.mjs";
import { setupFolder } from "../../../setup/clone/node.mjs";
import { run } from "../../../setup/process.mjs";

const script = fileURLToPath(new URL("../openai_client.py", import.meta.url));

/** Path of the interpreter that has the client. */
export async function ensurePythonClient(): Promise<string> {
  const folder = join(setupFolder, "openai-python");
  const requirements = "tests/e2e/requirements.txt";
  return join(await ensureLockedEnvironment({ folder, requirements }), "python");
}

export interface PythonAnswers {
  chat: string;
  responses: string;
  connect: string;
  cancelled: string;
  deleted: boolean;
}

/** Asks the same question by chat, responses and `responses.connect()`; cancels and deletes one. */
export async function askFromPython(
  url: string,
  question: string,
  maxTokens: number,
): Promise<PythonAnswers> {
  const python = await ensurePythonClient();
  const output = await run(python, [script, `${url}/v1`, question, String(maxTokens)]);
  return JSON.parse(output) as PythonAnswers;
}
