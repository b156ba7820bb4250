#!/usr/bin/env node
/** `mlx-serving`: finds the subcommand and loads its code alone, since start-up time is felt. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Command } from "commander";
import { packageRoot } from "../../setup/paths.mjs";
import { checkPlatform } from "../../setup/platform.mjs";
import { reportFailure } from "./failure.js";
import { followParent } from "./parent.js";
import { explainUsage } from "./usage.js";

interface Subcommand {
  summary: string;
  load(): Promise<Command>;
}

const subcommands: Record<string, Subcommand> = {
  serve: {
    summary: "start the server",
    load: async () => (await import("./serve.js")).serveCommand(),
  },
  chat: {
    summary: "talk to a running server, or to one started for it",
    load: async () => (await import("./chat.js")).chatCommand(),
  },
  launch: {
    summary: "start a coding agent on a server: codex, claude, opencode, qwen, pi",
    load: async () => (await import("./launch.js")).launchCommand(),
  },
  bench: {
    summary: "load test of any OpenAI-compatible server",
    load: async () => (await import("./bench.js")).benchCommand(),
  },
  doctor: {
    summary: "what this machine has, and what is missing",
    load: async () => (await import("./doctor.js")).doctorCommand(),
  },
  "build-native": {
    summary: "compile the optional native parts",
    load: async () => (await import("./build-native.js")).buildNativeCommand(),
  },
  keys: {
    summary: "add, list and revoke API keys",
    load: async () => (await import("./keys.js")).keysCommand(),
  },
  completion: {
    summary: "a script with which bash, zsh or fish completes commands and flags",
    load: async () =>
      (await import("./completion.js")).completionCommand(() => createProgram(() => true)),
  },
  models: {
    summary: "list, add and remove models",
    load: async () => (await import("./models.js")).modelsCommand(),
  },
};

/** The program with the code of those subcommands that are wanted, and the names of the others. */
async function createProgram(isWanted: (name: string) => boolean): Promise<Command> {
  const program = new Command("mlx-serving")
    .description("Serves language models with Apple's MLX to many clients at once.")
    .version(packageVersion(), "-V, --version", "print the version")
    .addHelpText(
      "after",
      "\nExamples:\n  mlx-serving serve --port 9001\n  mlx-serving chat 'Why is the sky blue?'\n  mlx-serving serve --help",
    );
  for (const [name, { summary, load }] of Object.entries(subcommands)) {
    const command = isWanted(name) ? await load() : new Command(name);
    program.addCommand(command.summary(summary));
  }
  explainUsage(program);
  return program;
}

function packageVersion(): string {
  return JSON.parse(readFileSync(join(packageRoot, "package.json"), "utf8")).version;
}

// Whoever reads the output may go first (`mlx-serving doctor | head -1`): no reason to fail.
for (const stream of [process.stdout, process.stderr]) {
  stream.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") throw error;
  });
}

// Commands that do something about SIGTERM do it then too; the others end as they would by it.
followParent(() => {
  if (process.listenerCount("SIGTERM") === 0) process.kill(process.pid, "SIGTERM");
});

const args = process.argv.slice(2);
try {
  checkPlatform();
  // Commander's own help would pass over a word that is no command.
  if (args[0] === "help" && args[1] !== undefined && !Object.hasOwn(subcommands, args[1]))
    args.shift();
  const wanted = args[0] === "help" ? args[1] : args[0];
  const program = await createProgram((name) => name === wanted);
  await program.parseAsync(args, { from: "user" });
} catch (error) {
  process.exitCode = reportFailure(error);
}
