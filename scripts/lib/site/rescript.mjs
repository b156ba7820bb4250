/** The reference of the ReScript modules, made of what their interfaces say (`rescript-tools doc`). */
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { packageRoot } from "../../../setup/paths.mjs";

const tools = join(packageRoot, "node_modules", ".bin", "rescript-tools");

/** In the order in which one reads them; those without an interface are types alone. */
const modules = [
  { title: "Machines", names: ["Request.resi", "Batch.resi", "Worker.resi", "Scheduler.resi"] },
  {
    title: "The orchestrator",
    names: ["Orchestrator.resi", "Config.res", "Input.res", "Command.res", "View.resi"],
  },
  { title: "What machines are made of", names: ["Supervision.resi", "Liveness.resi"] },
];

/** @returns {Record<string, string>} Markdown by page. */
export function rescriptReference() {
  const sections = modules.flatMap(({ title, names }) => [
    `## ${title}`,
    names
      .map((name) => `- [${moduleOf(name)}](rescript-${moduleOf(name).toLowerCase()}.md)`)
      .join("\n"),
  ]);
  const pages = modules.flatMap(({ names }) =>
    names.map((name) => [`rescript-${moduleOf(name).toLowerCase()}`, modulePage(readModule(name))]),
  );
  const head = [
    "# ReScript",
    "The modules of `MlxServing`, generated from their interfaces. They compile with ReScript 12 and 11.1; [the tutorial](../tutorials/rescript-machines.md) begins with an empty folder.",
  ];
  return { rescript: [...head, ...sections].join("\n\n"), ...Object.fromEntries(pages) };
}

const moduleOf = (file) => file.replace(/\.resi?$/, "");

function readModule(file) {
  const options = { cwd: packageRoot, encoding: "utf8", maxBuffer: 64 << 20 };
  return JSON.parse(execFileSync(tools, ["doc", join("src-res", file)], options));
}

/** @param {{ name: string, docstrings: string[], items: any[] }} module Pure. */
export function modulePage({ name, docstrings, items }) {
  const title = name.replace(/-.*$/, "");
  const kinds = [
    ["Types", "type"],
    ["Values", "value"],
    ["Modules", "module"],
  ];
  const parts = kinds.flatMap(([heading, kind]) => {
    const own = items.filter((item) => item.kind === kind);
    return own.length === 0 ? [] : [`## ${heading}`, ...own.map(itemText)];
  });
  return [`# ${title}`, `\`MlxServing.${title}\``, ...docstrings, ...parts].join("\n\n");
}

function itemText({ name, signature, docstrings, detail }) {
  const code = signature === undefined ? [] : [`\`\`\`rescript\n${signature}\n\`\`\``];
  const said = (detail?.items ?? []).filter((one) => one.docstrings?.length > 0);
  const rows = said.map(
    (one) =>
      `| \`${one.name}\` | ${one.docstrings.join(" ").replaceAll("\n", " ").replaceAll("|", "\\|")} |`,
  );
  const table = rows.length === 0 ? [] : [["| | |", "|---|---|", ...rows].join("\n")];
  return [`### ${name}`, ...code, ...docstrings, ...table].join("\n\n");
}
