/** docs/machines/Types.md: what the machines' types and values are called in ReScript and in TypeScript. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { note, root } from "./documentation.js";

const entries = ["Request", "Batch", "Worker", "Scheduler", "Orchestrator"];

interface Exported {
  /** In ReScript, with its module. */
  rescript: string;
  typescript: string;
  meaning: string;
}

/** What a public entry says that it exports, and of which modules. */
function exportedBy(entry: string): { types: Exported[]; values: string[] } {
  const text = readFileSync(join(root, `src-ts/machines/${entry}.ts`), "utf8");
  const lists = [...text.matchAll(/export (type )?\{([^}]*)\} from "\S+\/(\w+)\.gen\.js"/g)];
  const types = lists.flatMap(([, isType, names = "", module = ""]) =>
    isType === undefined ? [] : namesIn(names).map((name) => exported(entry, module, name)),
  );
  const values = lists.flatMap(([, isType, names = ""]) =>
    isType === undefined ? namesIn(names) : [],
  );
  return { types, values };
}

const namesIn = (list: string): string[] =>
  list
    .split(",")
    .map((name) => name.trim())
    .filter((name) => name !== "");

function exported(entry: string, module: string, name: string): Exported {
  const [own = "", other = own] = name.split(" as ");
  return {
    rescript: `MlxServing.${module}.${own}`,
    typescript: `${entry}.${other}`,
    meaning: meaningOf(module, own),
  };
}

/** The first sentence of what its interface says before it; nothing, where that is of a field or a case alone. */
function meaningOf(module: string, type: string): string {
  const path = join(root, `src-res/${module}.res`);
  const text = readFileSync(existsSync(`${path}i`) ? `${path}i` : path, "utf8");
  const [before = ""] = text.split(new RegExp(`^type (?:rec )?${type}\\b`, "m"));
  const doc =
    /\/\*\*(?!\*)((?:(?!\*\/)[\s\S])*)\*\/\s*(?:@[\w("). ]+\s*)*$/.exec(before)?.[1] ?? "";
  const sentence = /^(?!`\w+`[:,])[\s\S]*?[.;:](?=\s|$)/.exec(doc.trim())?.[0] ?? "";
  return sentence.replace(/\s+/g, " ").replace(/[;:]$/, ".").replaceAll("|", "\\|");
}

export function typesPage(): string {
  return `${[
    note("src-ts/machines and src-res"),
    "# Types",
    'What the machines\' types are called. ReScript, with `mlx-serving` in the dependencies of `rescript.json`, writes `MlxServing.Request.state`; TypeScript writes `import * as Request from "mlx-serving/machines/Request"` and `Request.State`. The values are the same: a state made by the one is read by the other. Variants are objects with a `kind` in TypeScript (`{ kind: "prefilling", lease, … }`), and constructors in ReScript (`Prefilling({lease, …})`).',
    ...entries.flatMap((entry) => {
      const { types, values } = exportedBy(entry);
      return [
        `## ${entry}`,
        [
          "| ReScript | TypeScript | |",
          "|---|---|---|",
          ...types.map(({ rescript, typescript, meaning }) =>
            `| \`${rescript}\` | \`${typescript}\` | ${meaning} |`.replace("|  |", "| |"),
          ),
        ].join("\n"),
        `Values and functions, called alike in both: ${values.map((name) => `\`${name}\``).join(", ")}.`,
      ];
    }),
    "Zod schemas of events and states, for what comes from outside: `mlx-serving/machines/schemas` (TypeScript alone).",
  ].join("\n\n")}\n`;
}
