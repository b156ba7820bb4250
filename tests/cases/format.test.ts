import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { ownList, readCases } from "./cases.js";

const raw = '{"messages":[{"role":"user","content":"caf\\ud83d"}],"max_tokens":4}';

function listOf(one: object): string {
  const folder = mkdtempSync(join(tmpdir(), "mlx-serving-cases-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const file = join(folder, "list.json");
  writeFileSync(file, JSON.stringify([one]));
  return file;
}

const theirs = (body: string) =>
  listOf({
    name: "theirs",
    route: "POST /v1/chat/completions",
    raw: body,
    expect: { status: 400, param: "messages", and: "in words" },
  });

it("every case of ours has a name of its own and at least five neighbours", () => {
  const listed: { name: string; neighbours: object[] }[] = JSON.parse(
    readFileSync(ownList, "utf8"),
  );
  for (const { name, neighbours } of listed)
    expect(neighbours.length, name).toBeGreaterThanOrEqual(5);
  const names = readCases(ownList).map(({ name }) => name);
  expect(new Set(names).size).toBe(names.length);
  expect(names.length).toBe(listed.reduce((sum, { neighbours }) => sum + neighbours.length + 1, 0));
});

it("what another list says in words is checked where ours has the same request, else it is told", () => {
  const [known] = readCases(theirs(raw));
  expect(known!.conditions.map(({ check }) => check)).toContain("worker_unharmed");
  expect(known!.unchecked).toBeUndefined();
  const [unknown] = readCases(theirs("{}"));
  expect(unknown).toMatchObject({ conditions: [], unchecked: "in words" });
});

it("a field that the format doesn't know is no case", () => {
  const one = { name: "x", route: "GET /health", expect: { status: 200, stauts: 200 } };
  expect(() => readCases(listOf(one))).toThrow("stauts");
});
