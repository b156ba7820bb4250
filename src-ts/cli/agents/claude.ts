/** Claude Code: variables alone. It speaks Anthropic's Messages API. */
import { type Agent, noKey } from "./agent.js";

export const claude: Agent = {
  name: "claude",
  title: "Claude Code",
  executable: "claude",
  install: "npm install -g @anthropic-ai/claude-code",
  prepare: ({ url, model, apiKey }) => ({
    args: [],
    env: {
      ANTHROPIC_BASE_URL: url,
      ANTHROPIC_AUTH_TOKEN: apiKey ?? noKey,
      // The user's key for another server: it would be asked about, and sent here.
      ANTHROPIC_API_KEY: undefined,
      ANTHROPIC_MODEL: model,
      ANTHROPIC_SMALL_FAST_MODEL: model,
      ANTHROPIC_DEFAULT_OPUS_MODEL: model,
      ANTHROPIC_DEFAULT_SONNET_MODEL: model,
      ANTHROPIC_DEFAULT_HAIKU_MODEL: model,
      CLAUDE_CODE_SUBAGENT_MODEL: model,
      CLAUDE_CODE_USE_BEDROCK: undefined,
      CLAUDE_CODE_USE_VERTEX: undefined,
      CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: "1",
    },
  }),
};
