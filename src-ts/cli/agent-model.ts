/**
 * Which model a server has that is started for an agent where none was named: one of this machine that an agent's
 * instructions fit into, else one that is fetched if the user says so. The embedded one is too small for any.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { listModels } from "../environment/doctor.js";
import { embeddedModelId } from "../environment/models.js";
import type { ServeConfig } from "../options.js";
import { CommandError, exitCodes } from "./failure.js";
import { askLine } from "./input.js";
import { addModel } from "./models.js";

/** Agents' instructions and tools alone are 5,000 to 20,000 tokens. */
export const agentContextTokens = 32_768;

/** It calls tools, has a context of 262,144 tokens, and runs beside other programs in 8 GB. */
const suggested = { id: "mlx-community/Qwen3-4B-Instruct-2507-4bit", size: "2.3 GB" };

/** Undefined: what the configuration says. Throws CommandError where an agent could do nothing. */
export async function modelForAgent(
  title: string,
  { engine, model }: ServeConfig,
): Promise<string | undefined> {
  const isDefault = model.length === 1 && model[0] === embeddedModelId;
  if (engine === "fake" || !isDefault) return undefined;
  const newest = listModels().filter(isFit).at(-1);
  if (newest !== undefined) return newest.id;
  const need = `${title} needs a model that calls tools and has a context of ${agentContextTokens.toLocaleString("en")} tokens or more; the embedded one is too small.`;
  if (!process.stdin.isTTY || !process.stdout.isTTY)
    throw new CommandError(
      `${need} Add one, such as by mlx-serving models add ${suggested.id} (${suggested.size}), or name one with --model.`,
      exitCodes.usage,
    );
  process.stderr.write(`${need}\n`);
  const answer = await askLine(`Fetch ${suggested.id} (${suggested.size}) now? [Y/n] `, []);
  if (answer === undefined || /^n/i.test(answer.trim()))
    throw new CommandError(
      "Nothing was fetched; name a model with --model, or add one with mlx-serving models add.",
      exitCodes.usage,
    );
  return (await addModel(suggested.id)).id;
}

const LimitsOfModel = z.object({
  max_position_embeddings: z.number().optional(),
  text_config: z.object({ max_position_embeddings: z.number().optional() }).optional(),
});

/** Where a model doesn't say what fits into it, such as in a GGUF file, it is tried. */
function isFit({ kind, ready, path }: ReturnType<typeof listModels>[number]): boolean {
  if (kind === "embedded" || !ready) return false;
  const tokens = kind === "gguf" ? undefined : contextAt(path);
  return tokens === undefined || tokens >= agentContextTokens;
}

function contextAt(folder: string): number | undefined {
  try {
    const config = JSON.parse(readFileSync(join(folder, "config.json"), "utf8"));
    const { max_position_embeddings: own, text_config: text } = LimitsOfModel.parse(config);
    return own ?? text?.max_position_embeddings;
  } catch {
    // A folder that can't be read is told of when it is served.
    return undefined;
  }
}
