/** `mlx-serving completion`: a script for the user's shell, made of the commands and flags that there are. */
import { type Command as AnyCommand, Command } from "commander";
import { nearest } from "../nearest.js";
import { CommandError, exitCodes } from "./failure.js";

interface Flag {
  name: string;
  summary: string;
  /** `none`: it has no value; `file`: shells complete names of files. */
  value: "none" | "file" | "other";
}

interface Word {
  name: string;
  summary: string;
}

/** One command: its name from the program on, such as `keys add`; empty: the program's own. */
export interface Place {
  path: string;
  words: readonly Word[];
  flags: readonly Flag[];
}

const shells = ["bash", "zsh", "fish"] as const;
type Shell = (typeof shells)[number];
const named = "bash, zsh or fish";

const isShell = (name: string | undefined): name is Shell => shells.some((one) => one === name);

function unknownShell(name: string | undefined): string {
  const command = `mlx-serving completion ${(name && nearest(name, shells)) ?? shells[0]}`;
  if (name === undefined) return `Which shell? There are scripts for ${named}: ${command}.`;
  return `There is no script for "${name}": the shell is ${named}, as in ${command}.`;
}

const help = `
To have it in every new shell:
  bash  mlx-serving completion bash >> ~/.bash_completion
  zsh   mlx-serving completion zsh > "\${fpath[1]}/_mlx-serving"
  fish  mlx-serving completion fish > ~/.config/fish/completions/mlx-serving.fish

Examples:
  source <(mlx-serving completion bash)`;

/** `whole`: the program with all its commands. */
export function completionCommand(whole: () => Promise<AnyCommand>): Command {
  return new Command("completion")
    .description("Prints a script with which a shell completes commands and flags.")
    .usage(`[options] <${shells.join("|")}>`)
    .argument("[shell]", `whose script: ${named}`)
    .addHelpText("after", help)
    .action(async (shell: string | undefined) => {
      if (!isShell(shell)) throw new CommandError(unknownShell(shell), exitCodes.usage);
      process.stdout.write(scriptOf(shell, placesOf(await whole())));
    });
}

export function placesOf(command: AnyCommand, path = ""): Place[] {
  const help = command.createHelp();
  const words = command.commands.map((one) => ({
    name: one.name(),
    summary: one.summary() || one.description(),
  }));
  const flags = help.visibleOptions(command).map((option): Flag => {
    const takesFile = /<(file|folder|id\|folder)>/.test(option.flags);
    const value = takesFile ? "file" : option.required || option.optional ? "other" : "none";
    return { name: option.long!, summary: option.description, value };
  });
  const below = command.commands.flatMap((one) => placesOf(one, `${path} ${one.name()}`.trim()));
  return [{ path, words, flags }, ...below];
}

export function scriptOf(shell: Shell, places: readonly Place[]): string {
  switch (shell) {
    case "bash":
      return bash(places);
    case "zsh":
      return zsh(places);
    case "fish":
      return fish(places);
  }
}

const paths = (places: readonly Place[]) => places.map(({ path }) => path).filter(Boolean);

const filesAfter = (places: readonly Place[]): string[] => [
  ...new Set(
    places.flatMap(({ flags }) =>
      flags.filter((flag) => flag.value === "file").map(({ name }) => name),
    ),
  ),
];

function bash(places: readonly Place[]): string {
  const cases = places.map(({ path, words, flags }) => {
    const names = [...words, ...flags].map(({ name }) => name).join(" ");
    return `    "${path}") words="${names}" ;;`;
  });
  return `# Completion of mlx-serving for bash.
_mlx_serving() {
  local cur="\${COMP_WORDS[COMP_CWORD]}" prev="\${COMP_WORDS[COMP_CWORD-1]}" path="" words="" i next
  for ((i = 1; i < COMP_CWORD; i++)); do
    next="\${path:+$path }\${COMP_WORDS[i]}"
    case "$next" in
      ${paths(places)
        .map((path) => `"${path}"`)
        .join("|")}) path="$next" ;;
    esac
  done
  case "$prev" in
    ${filesAfter(places).join("|")}) COMPREPLY=($(compgen -f -- "$cur")); return ;;
  esac
  case "$path" in
${cases.join("\n")}
  esac
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
}
complete -o bashdefault -o default -F _mlx_serving mlx-serving
`;
}

/** For a word between single quotes, where \`:\` parts a name from its summary. */
const described = ({ name, summary }: Word) =>
  `'${`${name}:${oneLine(summary).replaceAll(":", "\\:")}`.replaceAll("'", "'\\''")}'`;

const oneLine = (text: string) => text.replace(/\s+/g, " ").trim();

function zsh(places: readonly Place[]): string {
  const cases = places.map(({ path, words, flags }) => {
    const all = [...words, ...flags].map(described).join(" ");
    return `    "${path}") entries=(${all}) ;;`;
  });
  return `#compdef mlx-serving
# Completion of mlx-serving for zsh.
_mlx_serving() {
  local path_so_far="" next i
  local -a entries
  for ((i = 2; i < CURRENT; i++)); do
    next="\${path_so_far:+$path_so_far }\${words[i]}"
    case "$next" in
      ${paths(places)
        .map((path) => `"${path}"`)
        .join("|")}) path_so_far="$next" ;;
    esac
  done
  case "\${words[CURRENT-1]}" in
    ${filesAfter(places).join("|")}) _files; return ;;
  esac
  case "$path_so_far" in
${cases.join("\n")}
  esac
  _describe 'mlx-serving' entries || _files
}
if [ "$funcstack[1]" = "_mlx_serving" ]; then
  _mlx_serving "$@"
else
  compdef _mlx_serving mlx-serving
fi
`;
}

const quoted = (text: string) => `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;

function fish(places: readonly Place[]): string {
  const lines = places.flatMap(({ path, words, flags }) => {
    const here = `complete -c mlx-serving -n '__mlx_serving_at "${path}"'`;
    return [
      ...words.map(({ name, summary }) => `${here} -f -a ${name} -d ${quoted(oneLine(summary))}`),
      ...flags.map(({ name, summary, value }) => {
        const kind = { none: "", file: " -r -F", other: " -x" }[value];
        return `${here} -l ${name.slice(2)}${kind} -d ${quoted(oneLine(summary))}`;
      }),
    ];
  });
  return `# Completion of mlx-serving for fish.
function __mlx_serving_at
    set -l path ""
    for word in (commandline -opc)[2..]
        set -l next (string trim "$path $word")
        if contains -- "$next" ${paths(places).map(quoted).join(" ")}
            set path "$next"
        end
    end
    test "$path" = "$argv[1]"
end
${lines.join("\n")}
`;
}
