/** The reference of the command line: what each command says when it is asked for help. */
import { execFileSync } from "node:child_process";
import { commandLine } from "../../../setup/paths.mjs";

/** @returns {Record<string, string>} Markdown by page. */
export function commandLineReference() {
  const parts = allHelp([]).map(({ words, text }) =>
    [`## mlx-serving ${words.join(" ")}`.trimEnd(), `\`\`\`text\n${text.trim()}\n\`\`\``].join(
      "\n\n",
    ),
  );
  const head = [
    "# Command line",
    "What `--help` says of each command. In a clone, write `npx mlx-serving …`.",
  ];
  return { "command-line": [...head, ...parts].join("\n\n") };
}

function allHelp(words) {
  const text = help(words);
  return [{ words, text }, ...commandsIn(text).flatMap((name) => allHelp([...words, name]))];
}

function help(words) {
  // A line has what the reader's page has room for.
  const env = { ...process.env, COLUMNS: "90", NO_COLOR: "1", FORCE_COLOR: "0" };
  return execFileSync(process.execPath, [commandLine, ...words, "--help"], {
    encoding: "utf8",
    env,
  });
}

/** Names of the commands that a help text lists. */
export function commandsIn(text) {
  const [, list = ""] = /^Commands:\n((?: {2}.*\n)+)/m.exec(text) ?? [];
  return [...list.matchAll(/^ {2}(\S+)/gm)]
    .map(([, name]) => name)
    .filter((name) => name !== "help");
}
