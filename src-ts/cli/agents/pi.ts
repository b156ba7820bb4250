/** pi: an extension in a temporary file, which adds a provider to those the user has. It speaks chat completions. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Agent, noKey, type Target } from "./agent.js";

const provider = "mlx-serving";
const keyVariable = "PI_MLX_SERVING_KEY";
/** It wants figures where the server gives none. */
const contextTokensDefault = 32_768;
const outputTokensMax = 16_384;

function extensionFor({ url, model, contextTokens = contextTokensDefault }: Target): string {
  const free = { input: 0, output: 0, cacheRead: 0, cacheWrite: 0 };
  const config = {
    baseUrl: `${url}/v1`,
    api: "openai-completions",
    // The name of a variable: the key itself is in no file.
    apiKey: keyVariable,
    models: [
      {
        id: model,
        name: model,
        reasoning: false,
        input: ["text"],
        cost: free,
        contextWindow: contextTokens,
        maxTokens: Math.min(outputTokensMax, Math.ceil(contextTokens / 4)),
      },
    ],
  };
  return `export default (pi) => pi.registerProvider(${JSON.stringify(provider)}, ${JSON.stringify(config)});\n`;
}

export const pi: Agent = {
  name: "pi",
  title: "pi",
  executable: "pi",
  install: "npm install -g @mariozechner/pi-coding-agent",
  prepare: (target, folder) => {
    const extension = join(folder, "mlx-serving.mjs");
    writeFileSync(extension, extensionFor(target), { mode: 0o600 });
    return {
      args: ["--extension", extension, "--model", `${provider}/${target.model}`],
      env: { [keyVariable]: target.apiKey ?? noKey },
    };
  },
};
