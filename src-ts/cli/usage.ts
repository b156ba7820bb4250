/** Commander's own errors in our form: one sentence, exit code 2. */
import type { Command } from "commander";
import { errColors, outColors } from "../colors.js";
import { nearest } from "../nearest.js";

/** Applies to a command and all below it. */
export function explainUsage(command: Command): void {
  command
    .exitOverride()
    .showSuggestionAfterError(true)
    .configureHelp({ styleTitle: outColors.bold })
    .configureOutput({
      outputError: (text, write) =>
        write(`${errColors.red("mlx-serving:")} ${sentence(text, command)}\n`),
    });
  if (command.commands.length > 0) command.hook("preSubcommand", refuseUnknown);
  for (const below of command.commands) explainUsage(below);
}

/** Where a command is taken without a word, another word is none of its arguments. */
function refuseUnknown(group: Command): void {
  const [word] = group.args;
  const names = group.commands.map((one) => one.name());
  if (word === undefined || word.startsWith("-") || [...names, "help"].includes(word)) return;
  const near = nearest(word, names);
  const question = near === undefined ? "" : `\n(Did you mean ${near}?)`;
  group.error(`error: unknown command '${word}'${question}`);
}

/** `error: unknown option '--prot'\n(Did you mean --port?)` as one sentence that says where to look. */
function sentence(text: string, command: Command): string {
  const [problem = "", hint] = text.trim().split("\n");
  const said = problem.replace(/^error: /, "").replace(/\.$/, "");
  const question = hint === undefined ? "" : ` ${hint}`;
  const path: string[] = [];
  for (let at: Command | null = command; at !== null; at = at.parent) path.unshift(at.name());
  return `${said}${question}; see ${path.join(" ")} --help.`;
}
