/** `mlx-serving launch`: an installed coding agent on a running server or one started for it. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Command } from "commander";
import { errColors } from "../colors.js";
import { didYouMean } from "../nearest.js";
import { agentContextTokens, modelForAgent } from "./agent-model.js";
import { programOf, runAgent } from "./agent-program.js";
import { isOurs, targetAt } from "./agent-target.js";
import type { Agent, Target } from "./agents/agent.js";
import { agents } from "./agents/index.js";
import { type KeyFlags, keyOf, keyOptions } from "./client-key.js";
import { CommandError, exitCodes } from "./failure.js";
import { type FoundServer, findServer } from "./local-server.js";

/** Of what a server says while an agent has the terminal, the last. */
const heldCharsMax = 16_384;

interface LaunchFlags extends KeyFlags {
  url?: string;
  model?: string;
}

export function launchCommand(): Command {
  const command = new Command("launch")
    .description(
      "Starts a coding agent on the server at --url, else on the one on this machine's usual port, else on one that is started for it.\nThe agent's own configuration is not touched.",
    )
    .argument("<agent>", agents.map(({ name }) => name).join(", "))
    .argument("[args...]", "for the agent; its flags come after --")
    .option("--url <url>", "a running server")
    .option(
      "--model <id>",
      "model to use (default: the server's; of one that is started, the model added last that an agent fits into)",
    )
    .addHelpText(
      "after",
      "\nExamples:\n  mlx-serving launch codex\n  mlx-serving launch --model some/model qwen -- --yolo 'Tidy up this folder'",
    )
    .action(launch);
  for (const option of keyOptions()) command.addOption(option);
  return command;
}

function agentNamed(name: string): Agent {
  const agent = agents.find((one) => one.name === name);
  if (agent !== undefined) return agent;
  const names = agents.map((one) => one.name);
  throw new CommandError(
    `There is no agent "${name}"; there are ${names.join(", ")}.${didYouMean(name, names)}`,
    exitCodes.usage,
  );
}

async function launch(name: string, args: string[], flags: LaunchFlags): Promise<void> {
  const agent = agentNamed(name);
  const program = programOf(agent);
  const held = new HeldLog();
  const url = flags.url === undefined ? undefined : addressOf(flags.url);
  const server = await findServer(
    { url, model: flags.model },
    {
      isThere: isOurs,
      print: (text) => held.add(text),
      modelOf: (config) => modelForAgent(agent.title, config),
    },
  );
  try {
    process.exitCode = await runOn(server, agent, { program, args, flags });
  } finally {
    await server.close();
    process.stderr.write(held.text);
  }
}

interface Asked {
  program: string;
  args: readonly string[];
  flags: LaunchFlags;
}

async function runOn(
  { url, isOwn }: FoundServer,
  agent: Agent,
  { program, args, flags }: Asked,
): Promise<number> {
  const apiKey = isOwn ? undefined : keyOf(flags);
  const target = await targetAt(url, { model: flags.model, apiKey });
  const folder = mkdtempSync(join(tmpdir(), "mlx-serving-launch-"));
  try {
    process.stderr.write(introduction(agent, target));
    return await runAgent(program, agent.prepare(target, folder), args);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function introduction({ title }: Agent, { url, model, contextTokens }: Target): string {
  const line = errColors.dim(`${title} on ${url}, model ${model}\n`);
  if (contextTokens === undefined || contextTokens >= agentContextTokens) return line;
  const size = contextTokens.toLocaleString("en");
  return `${line}${errColors.yellow("Its context is small for an agent:")} ${size} tokens; choose another with --model.\n`;
}

/** Agents add paths of their own, so that the address has none. */
function addressOf(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url !== undefined && /^https?:$/.test(url.protocol))
    return `${url.origin}${url.pathname.replace(/\/(v1\/?)?$/, "")}`;
  throw new CommandError(
    `--url must be an address such as http://127.0.0.1:8088, not "${text}".`,
    exitCodes.usage,
  );
}

/** An agent draws on the whole terminal; what the server says meanwhile is told afterwards. */
class HeldLog {
  text = "";

  add(text: string): void {
    this.text = (this.text + text).slice(-heldCharsMax);
  }
}
