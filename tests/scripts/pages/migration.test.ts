/** What pages for those who come from another server say of this one: its flags, its routes. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { packageRoot as root } from "../../../setup/paths.mjs";
import { serveCommand } from "../../../src-ts/cli/serve.js";

const flags = new Set(serveCommand().options.map(({ long }) => long));
const { paths } = JSON.parse(readFileSync(join(root, "docs/openapi.json"), "utf8")) as {
  paths: object;
};
const routes = Object.keys(paths);

describe.each(["ollama", "mlx-lm-server", "lm-studio", "llama-cpp"])("from %s", (name) => {
  const page = readFileSync(join(root, `docs/migration/${name}.md`), "utf8");
  const rows = [...page.matchAll(/^\| (.*) \|$/gm)].map(([, row]) => row!.split(" | "));
  const named = (text: string, form: RegExp) => [...text.matchAll(form)].map(([, one]) => one!);

  it("names flags that there are", () => {
    // A command of another kind has its own.
    const ours = rows
      .map(([, here = ""]) => here)
      .filter((here) => !here.includes("mlx-serving ") && !here.includes("models add"));
    const found = ours.flatMap((here) => named(here, /`(--[a-z-]+)/g));
    expect(found.length).toBeGreaterThan(4);
    expect(found.filter((flag) => !flags.has(flag))).toEqual([]);
    const same = rows
      .filter(([, here]) => here === "the same")
      .flatMap(([theirs]) => named(theirs!, /`(--[a-z-]+)`/g));
    expect(same.filter((flag) => !flags.has(flag))).toEqual([]);
  });

  it("tells the routes that there are from those that there aren't", () => {
    const of = (outcome: RegExp) =>
      rows
        .filter(([, here]) => outcome.test(here ?? ""))
        .flatMap(([theirs]) => named(theirs!, /`(\/[\w/-]+)`/g))
        .filter((path) => path.startsWith("/"));
    expect(of(/^(the same|taken)/).filter((path) => !routes.includes(path))).toEqual([]);
    expect(of(/^404/).filter((path) => routes.includes(path))).toEqual([]);
  });
});
