/** opencode: a configuration in a variable, which it reads after its files. It speaks chat completions. */
import { type Agent, noKey, type Target } from "./agent.js";

const provider = "mlx-serving";
/** It wants both limits or none; the most that it asks for by itself. */
const outputTokensMax = 32_000;

const limitOf = ({ contextTokens }: Target) =>
  contextTokens === undefined
    ? {}
    : {
        limit: {
          context: contextTokens,
          output: Math.min(outputTokensMax, Math.ceil(contextTokens / 4)),
        },
      };

export const opencode: Agent = {
  name: "opencode",
  title: "opencode",
  executable: "opencode",
  install: "npm install -g opencode-ai",
  prepare: (target) => {
    const { url, model, apiKey } = target;
    const config = {
      provider: {
        [provider]: {
          npm: "@ai-sdk/openai-compatible",
          name: provider,
          options: { baseURL: `${url}/v1`, apiKey: apiKey ?? noKey },
          models: { [model]: { name: model, tool_call: true, ...limitOf(target) } },
        },
      },
      model: `${provider}/${model}`,
      small_model: `${provider}/${model}`,
    };
    return { args: [], env: { OPENCODE_CONFIG_CONTENT: JSON.stringify(config) } };
  },
};
