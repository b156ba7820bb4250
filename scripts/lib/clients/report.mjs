/** docs/CLIENTS.md: what each client did, in which version, and what came of it. */
import { versionOf } from "./table.mjs";

/**
 * @typedef {{ client: import("./table.mjs").Client, on: string, outcome: string, did: readonly string[], version?: string }} Row
 *   `on`: such as "Node 24"; `outcome`: "passed", "failed: …" or "not run: …"; `version`: of what the user has
 *   installed.
 */

/** @param {readonly Row[]} rows */
export function documentOf(rows) {
  return `${head}\n${tableOf(rows)}`;
}

const head = `# Clients

What \`npm run clients\` saw; it writes this page. Each client is installed in the version that is named (all are in \`tests/clients/table.json\`), and runs against a
server on the fake engine, which plays a script through the server's own parsers. Agents are started by \`mlx-serving launch\`, with a home folder of their own: they read a file,
run a command, edit the file and answer, and afterwards the file has changed. Libraries do the same with tools of a program in \`tests/clients\`, streamed and not,
and what else is named here. Each runs twice: undisturbed, and with the worker killed (SIGKILL) in the middle of an answer; *passed* means that both runs came to the same end. Server and client run on the Node that is named;
Python's clients on Python, with the server on the first of them.

[AGENTS.md](AGENTS.md) tells how an agent is set up.
`;

export function tableOf(rows) {
  const lines = rows.map(({ client, on, outcome, did, version }) =>
    [client.title, versions(client, version), on, [...did].join(", "), outcome]
      .map(cell)
      .join(" | "),
  );
  return ["| client | version | on | what was done | outcome |", "|---|---|---|---|---|"]
    .concat(lines.map((line) => `| ${line} |`))
    .join("\n")
    .concat("\n");
}

const versions = (client, own) =>
  Object.keys(client.packages).length > 0
    ? versionOf(client)
    : ["the user's own", own].filter(Boolean).join(", ");

const cell = (text) => text.replaceAll("|", "\\|").replaceAll(/\s+/g, " ").trim();

/** @param {readonly Row[]} rows */
export function countsOf(rows) {
  const starting = (word) => rows.filter(({ outcome }) => outcome.startsWith(word)).length;
  return `${starting("passed")} passed, ${starting("failed")} failed, ${starting("not run")} not run`;
}
