/** The agents that `mlx-serving launch` knows. */
import type { Agent } from "./agent.js";
import { claude } from "./claude.js";
import { codex } from "./codex.js";
import { opencode } from "./opencode.js";
import { pi } from "./pi.js";
import { qwen } from "./qwen.js";

export const agents: readonly Agent[] = [codex, claude, opencode, qwen, pi];
