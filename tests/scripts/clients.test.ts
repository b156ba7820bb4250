/** What `npm run clients` decides: its table of versions, its script, its page. The clients themselves run there. */
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { agentTasks } from "../../scripts/lib/clients/agents.mjs";
import { countsOf, documentOf, tableOf } from "../../scripts/lib/clients/report.mjs";
import { libraryScript, task, taskScript } from "../../scripts/lib/clients/script.mjs";
import {
  chosen,
  clientTests,
  examplesFolder,
  readTable,
  refusalOf,
  versionOf,
} from "../../scripts/lib/clients/table.mjs";
import { agents } from "../../src-ts/cli/agents/index.js";

const table = readTable();
const { clients, nodes } = table;
const clientOf = (id: string) => clients.find((one) => one.id === id)!;

describe("the table", () => {
  it("pins every version exactly", () => {
    const versions = clients.flatMap(({ packages }) => Object.values(packages));
    for (const version of [...versions, ...Object.values(nodes)])
      expect(version).toMatch(/^\d+\.\d+(\.\d+)?$/);
    expect(Object.keys(nodes)).toEqual(["20", "24"]);
  });

  it("has each client once, the agents that launch knows, and a program for each library", () => {
    const ids = clients.map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
    const known = new Set(clients.flatMap(({ agent }) => agent ?? []));
    expect([...known].sort()).toEqual(agents.map(({ name }) => name).sort());
    expect(Object.keys(agentTasks).sort()).toEqual([...known].sort());
    for (const { kind, program } of clients.filter(({ kind }) => kind !== "agent")) {
      const folder = kind === "example" ? examplesFolder : clientTests;
      expect(readFileSync(join(folder, program!), "utf8")).not.toBe("");
    }
  });

  it("has the versions that the examples ask for", () => {
    const made = clients.filter(({ kind }) => kind === "example");
    expect(made.length).toBeGreaterThan(0);
    for (const { program, packages } of made) {
      const manifest = join(examplesFolder, dirname(program!), "package.json");
      expect(JSON.parse(readFileSync(manifest, "utf8")).dependencies).toEqual(packages);
    }
  });

  it("agrees with what Python's environments are locked to", () => {
    for (const { packages, requirements = "requirements" } of clients.filter(
      ({ kind }) => kind === "python",
    )) {
      const asked = readFileSync(join(clientTests, `${requirements}.in`), "utf8");
      const locked = readFileSync(join(clientTests, `${requirements}.txt`), "utf8");
      for (const [name, version] of Object.entries(packages)) {
        expect(asked).toMatch(new RegExp(`^${name}(\\[.*\\])?==${version}$`, "m"));
        expect(locked).toMatch(new RegExp(`^${name}(\\[.*\\])?==${version} `, "m"));
      }
    }
  });

  it("is chosen from by ids and by what they begin with", () => {
    const idsOf = (only: string[]) => chosen(table, only).map(({ id }) => id);
    expect(idsOf([])).toHaveLength(clients.length);
    expect(idsOf(["pi"])).toEqual(["pi"]);
    expect(idsOf(["codex", "pi"])).toEqual(["codex-http", "codex-websocket", "pi"]);
    expect(() => idsOf(["pi", "cursor"])).toThrow(/cursor; there are codex-http/);
  });

  it("says which Node a client asks for, and which versions it has", () => {
    expect(refusalOf(clientOf("openai-7"), 20)).toMatch(/22/);
    expect(refusalOf(clientOf("openai-7"), 24)).toBeUndefined();
    expect(refusalOf(clientOf("openai-6"), 20)).toBeUndefined();
    expect(versionOf(clientOf("openai-6"))).toMatch(/^openai 6\.\d+\.\d+$/);
    expect(versionOf(clientOf("ai-6-openai"))).toMatch(/^ai 6\S+, @ai-sdk\/openai 3\S+$/);
  });
});

describe("the script", () => {
  const played = (script: ReturnType<typeof taskScript>, last: string, tools: boolean) =>
    script.find((one) => last.includes(one.when) && (one.tools ?? tools) === tools)!.say;

  it.each(Object.keys(agentTasks))("of %s goes on by what came last", (agent) => {
    const calls = agentTasks[agent]!.calls("/folder");
    const script = taskScript(calls);
    expect(played(script, task.prompt, true)).toContain(calls.read);
    expect(played(script, `1: ${task.before}`, true)).toBe(calls.run);
    expect(played(script, task.commandOutput, true)).toBe(calls.edit);
    expect(played(script, "edited", true)).toBe(task.answer);
    expect(played(script, task.prompt, false)).not.toContain("tool_call");
    // What came last is never mistaken for an earlier turn.
    expect(task.after).not.toContain(task.before.trim());
  });

  it("of libraries answers single questions before the task", () => {
    const script = libraryScript();
    expect(played(script, "SAY-1", true)).toBe("Hello from the script.");
    expect(JSON.parse(played(script, "SCHEMA-1 CALL-json-1", false))).toEqual({
      colour: "green",
      count: 3,
    });
    expect(played(script, "SCHEMA-1 CALL-json-1", true)).toContain('"name":"json"');
  });
});

describe("the page", () => {
  const row = (outcome: string) => ({
    ...{ client: clientOf("openai-6"), on: "Node 20", did: ["chat", "tools"], outcome },
  });

  it("has a line for each client, whatever came of it", () => {
    const rows = [row("passed"), row("failed: a | b\nc"), row("not run: asks for Node 22")];
    const lines = tableOf(rows).trim().split("\n").slice(2);
    expect(lines).toHaveLength(3);
    expect(lines[0]).toBe("| openai (npm) | openai 6.30.1 | Node 20 | chat, tools | passed |");
    expect(lines[1]).toContain("failed: a \\| b c");
    expect(documentOf(rows)).toContain(tableOf(rows));
    expect(countsOf(rows)).toBe("1 passed, 1 failed, 1 not run");
  });

  it("is kept in docs, with every client of the table", () => {
    const page = readFileSync(join(clientTests, "../../docs/CLIENTS.md"), "utf8");
    for (const client of clients) expect(page).toContain(`| ${client.title} |`);
  });
});
