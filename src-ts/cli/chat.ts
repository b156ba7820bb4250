/** `mlx-serving chat`: a conversation in the terminal, with a running server or one started for it. */
import { Command } from "commander";
import { isClientError } from "../client/errors.js";
import { type Client, connect } from "../client/index.js";
import { outColors } from "../colors.js";
import { expectedOf, numberIn, numberSettings, obey, saidIn } from "./chat-commands.js";
import { type KeyFlags, keyOf, keyOptions, keyRefused } from "./client-key.js";
import { type AnswerOptions, Conversation } from "./conversation.js";
import { CommandError } from "./failure.js";
import { askLine, readAll } from "./input.js";
import { interruptedCode } from "./interrupt.js";
import { findServer } from "./local-server.js";

const probeTimeoutMs = 1_000;

interface ChatFlags extends KeyFlags {
  url?: string;
  model?: string;
  instructions?: string;
  maxTokens?: string;
  temperature?: string;
}

export function chatCommand(): Command {
  const command = new Command("chat")
    .description(
      "Talks to the server at --url, else to one on this machine's usual port, else to one that it starts for itself.\nCtrl-C cancels an answer; at the empty prompt, twice, it leaves. So does Ctrl-D. /help tells what else there is.",
    )
    .argument("[prompt]", "one question; default: a conversation, or all of a piped input")
    .option("--url <url>", "a running server")
    .option("--model <id>", "model to ask (default: the server's)")
    .option("--instructions <text>", "what the model should be and do")
    .option("--max-tokens <n>", "longest answer, in tokens")
    .option("--temperature <n>", "0: always the likeliest token")
    .addHelpText(
      "after",
      "\nExamples:\n  mlx-serving chat 'Why is the sky blue?'\n  git diff | mlx-serving chat --instructions 'Summarize this change'",
    )
    .action(chat);
  for (const option of keyOptions()) command.addOption(option);
  return command;
}

async function chat(prompt: string | undefined, flags: ChatFlags): Promise<void> {
  const answers = answerOptions(flags);
  const { url, isOwn, close } = await findServer(flags, { isThere: isHealthy });
  try {
    const apiKey = isOwn ? undefined : keyOf(flags);
    await using client = await connectWith(url, apiKey);
    const question = prompt ?? (process.stdin.isTTY ? undefined : await readAll(process.stdin));
    if (question === undefined) await converse(client, answers, () => modelsAt(url, apiKey));
    else if (!(await answerOnce(client, answers, question))) process.exitCode = interruptedCode;
  } finally {
    await close();
  }
}

async function connectWith(url: string, apiKey: string | undefined): Promise<Client> {
  try {
    return await connect(url, { apiKey });
  } catch (error) {
    if (isClientError(error) && error.status === 401) throw keyRefused(apiKey, error.message);
    throw error;
  }
}

function answerOptions(flags: ChatFlags): AnswerOptions {
  return {
    model: flags.model,
    instructions: flags.instructions,
    maxOutputTokens: numberOf(flags.maxTokens, "max-tokens"),
    temperature: numberOf(flags.temperature, "temperature"),
  };
}

function numberOf(text: string | undefined, name: string): number | undefined {
  if (text === undefined) return undefined;
  const setting = numberSettings[name]!;
  const value = numberIn(text, setting);
  if (value !== undefined) return value;
  throw new CommandError(`--${name} must be ${expectedOf(setting)}, not "${text}".`, 2);
}

/** Ids and names that the key may use. */
async function modelsAt(url: string, apiKey: string | undefined): Promise<string[]> {
  const headers: Record<string, string> = apiKey ? { authorization: `Bearer ${apiKey}` } : {};
  const address = `${url.replace(/\/+(v1\/?)?$/, "")}/v1/models`;
  const answer = await fetch(address.replace(/^ws/, "http"), { headers });
  if (!answer.ok) throw new CommandError(`${address} answers ${answer.status}.`);
  const { data } = (await answer.json()) as { data: { id: string }[] };
  return data.map(({ id }) => id);
}

async function isHealthy(url: string): Promise<boolean> {
  try {
    const response = await fetch(`${url}/health`, { signal: AbortSignal.timeout(probeTimeoutMs) });
    return response.ok;
  } catch {
    // Nothing there, or nothing that speaks HTTP: either way not a server of ours.
    return false;
  }
}

/** False when the user cancelled the answer. */
async function answerOnce(client: Client, options: AnswerOptions, question: string) {
  return new Conversation(client, options).ask(question, process.stdout);
}

async function converse(
  client: Client,
  options: AnswerOptions,
  models: () => Promise<string[]>,
): Promise<void> {
  const conversation = new Conversation(client, options);
  const talk = { options, models, clear: () => conversation.clear() };
  const history: string[] = [];
  for (;;) {
    const line = await askLine(outColors.green("> "), history);
    if (line === undefined) return;
    const said = saidIn(line);
    if (said === undefined) {
      const { text, leaves } = await obey(line, talk);
      if (leaves) return;
      process.stdout.write(`${text}\n`);
    } else if (said.trim() !== "") await conversation.ask(said, process.stdout);
  }
}
