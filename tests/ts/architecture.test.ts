/** Which way imports go, and that none go round. Python's own are in tests/python. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { type Arrows, consoleArrows } from "../support/console-arrows.js";
import { circlesIn, filesIn, graphOf, importsOf, moduleReferences } from "../support/imports.js";
import { serverArrows } from "../support/server-arrows.js";

const root = resolve(import.meta.dirname, "../..");

/** What each folder, and each file beside them, imports of the project beside itself. */
const arrows: Readonly<Record<string, Arrows>> = {
  "src-ts/encoding": {},
  "src-ts/machines": { values: ["src-res", "src-ts/machines/schemas"] },
  "src-ts/machines/schemas": { types: ["src-ts/machines"] },
  "src-ts/protocol": {},
  "src-ts/errors.ts": {},
  "src-ts/nearest.ts": {},
  "src-ts/failures.ts": { values: ["src-ts/errors.ts", "src-ts/nearest.ts"] },
  "src-ts/loopback.ts": {},
  "src-ts/json-fault.ts": {},
  "src-ts/colors.ts": {},

  "src-ts/worker": { values: ["src-ts/encoding"] },
  "src-ts/engine/conversation.ts": {},
  // The engine, from what all of it speaks of up to its face.
  "src-ts/engine/api.ts": {
    values: ["src-ts/worker"],
    types: ["src-ts/engine/conversation.ts", "src-ts/engine/live.ts", "src-ts/errors.ts"],
  },
  "src-ts/engine/live.ts": {},
  "src-ts/engine/journal.ts": {
    types: [
      "src-ts/engine/api.ts",
      "src-ts/engine/conversation.ts",
      "src-ts/errors.ts",
      "src-ts/machines",
      "src-ts/worker",
    ],
  },
  "src-ts/engine/ports.ts": { types: ["src-ts/engine/journal.ts", "src-ts/worker"] },
  "src-ts/engine/clock.ts": { types: ["src-ts/engine/ports.ts"] },
  "src-ts/engine/timelines.ts": {
    types: ["src-ts/engine/live.ts", "src-ts/engine/ports.ts", "src-ts/machines"],
  },
  "src-ts/engine/operator.ts": {
    types: [
      "src-ts/engine/api.ts",
      "src-ts/engine/ports.ts",
      "src-ts/engine/requests",
      "src-ts/engine/timelines.ts",
      "src-ts/machines",
    ],
  },
  "src-ts/engine/observers.ts": { types: ["src-ts/engine/api.ts"] },
  "src-ts/engine/turn.ts": { types: ["src-ts/engine/ports.ts"] },
  "src-ts/engine/runner.ts": {
    values: ["src-ts/machines"],
    types: ["src-ts/engine/ports.ts", "src-ts/worker"],
  },
  "src-ts/engine/responses": {
    values: ["src-ts/engine/conversation.ts", "src-ts/errors.ts", "src-ts/failures.ts"],
    types: [
      "src-ts/engine/api.ts",
      "src-ts/engine/journal.ts",
      "src-ts/engine/ports.ts",
      "src-ts/engine/turn.ts",
      "src-ts/machines",
      "src-ts/worker",
    ],
  },
  "src-ts/engine/requests": {
    values: [
      "src-ts/engine/conversation.ts",
      "src-ts/encoding",
      "src-ts/failures.ts",
      "src-ts/machines",
      "src-ts/worker",
    ],
    types: [
      "src-ts/engine/api.ts",
      "src-ts/engine/journal.ts",
      "src-ts/engine/observers.ts",
      "src-ts/engine/ports.ts",
      "src-ts/engine/responses",
      "src-ts/engine/runner.ts",
      "src-ts/errors.ts",
    ],
  },
  "src-ts/engine/workers": {
    values: ["src-ts/engine/requests", "src-ts/worker"],
    types: [
      "src-ts/engine/api.ts",
      "src-ts/engine/observers.ts",
      "src-ts/engine/ports.ts",
      "src-ts/engine/runner.ts",
      "src-ts/machines",
    ],
  },
  "src-ts/engine/aliases.ts": {},
  "src-ts/engine/config.ts": {
    types: ["src-ts/engine/api.ts", "src-ts/machines", "src-ts/worker"],
  },
  "src-ts/engine/waiting.ts": { types: ["src-ts/engine/ports.ts"] },
  "src-ts/engine/views.ts": {
    types: ["src-ts/engine/api.ts", "src-ts/engine/workers", "src-ts/machines", "src-ts/worker"],
  },
  "src-ts/engine/execute.ts": {
    values: ["src-ts/errors.ts"],
    types: [
      "src-ts/engine/observers.ts",
      "src-ts/engine/requests",
      "src-ts/engine/runner.ts",
      "src-ts/engine/timelines.ts",
      "src-ts/engine/turn.ts",
      "src-ts/engine/workers",
      "src-ts/machines",
    ],
  },
  "src-ts/engine/engine.ts": {
    values: [
      "src-ts/engine/aliases.ts",
      "src-ts/engine/config.ts",
      "src-ts/engine/execute.ts",
      "src-ts/engine/observers.ts",
      "src-ts/engine/operator.ts",
      "src-ts/engine/requests",
      "src-ts/engine/responses",
      "src-ts/engine/runner.ts",
      "src-ts/engine/timelines.ts",
      "src-ts/engine/turn.ts",
      "src-ts/engine/views.ts",
      "src-ts/engine/waiting.ts",
      "src-ts/engine/workers",
      "src-ts/failures.ts",
      "src-ts/machines",
    ],
    types: [
      "src-ts/engine/api.ts",
      "src-ts/engine/journal.ts",
      "src-ts/engine/ports.ts",
      "src-ts/errors.ts",
      "src-ts/worker",
    ],
  },
  "src-ts/engine/index.ts": {
    values: [
      "src-ts/engine/clock.ts",
      "src-ts/engine/engine.ts",
      "src-ts/errors.ts",
      "src-ts/worker",
    ],
    types: ["src-ts/engine/api.ts", "src-ts/engine/ports.ts"],
  },
  "src-ts/journal": {
    values: ["setup", "src-ts/encoding", "src-ts/engine/conversation.ts", "src-ts/failures.ts"],
    types: [
      "src-ts/engine/api.ts",
      "src-ts/engine/journal.ts",
      "src-ts/engine/ports.ts",
      "src-ts/errors.ts",
    ],
  },

  // Which keys there are: a file, and nothing of who asks with them.
  "src-ts/keys": { values: ["setup", "src-ts/config.ts", "src-ts/nearest.ts", "src-ts/protocol"] },
  ...serverArrows,

  "src-ts/client": { types: ["src-ts/protocol"] },
  ...consoleArrows,

  "src-ts/bench": { values: ["src-ts/client", "src-ts/colors.ts"] },
  "src-ts/options.ts": { values: ["src-ts/worker"] },
  "src-ts/config.ts": {
    values: [
      "src-ts/json-fault.ts",
      "src-ts/loopback.ts",
      "src-ts/nearest.ts",
      "src-ts/options.ts",
    ],
  },
  "src-ts/environment": {
    values: ["setup", "setup/native", "src-ts/config.ts", "src-ts/nearest.ts", "src-ts/worker"],
    types: ["src-ts/options.ts"],
  },
  "src-ts/fake-script.ts": {
    values: ["src-ts/config.ts", "src-ts/json-fault.ts"],
    types: ["src-ts/engine/api.ts"],
  },
  "src-ts/create-engine.ts": {
    values: [
      "src-ts/config.ts",
      "src-ts/engine/index.ts",
      "src-ts/environment",
      "src-ts/fake-script.ts",
      "src-ts/journal",
    ],
    types: [
      "src-ts/engine/api.ts",
      "src-ts/engine/journal.ts",
      "src-ts/engine/ports.ts",
      "src-ts/options.ts",
      "src-ts/server/index.ts",
      "src-ts/worker",
    ],
  },
  "src-ts/serve.ts": {
    values: [
      "src-ts/config.ts",
      "src-ts/create-engine.ts",
      "src-ts/keys",
      "src-ts/server/index.ts",
    ],
    types: ["src-ts/engine/api.ts", "src-ts/options.ts"],
  },
  "src-ts/index.ts": {
    values: ["src-ts/config.ts", "src-ts/environment", "src-ts/errors.ts", "src-ts/serve.ts"],
    types: ["src-ts/engine/api.ts", "src-ts/options.ts"],
  },
  "src-ts/cli": {
    values: [
      "setup",
      "src-ts/bench",
      "src-ts/cli/agents",
      "src-ts/client",
      "src-ts/colors.ts",
      "src-ts/config.ts",
      "src-ts/environment",
      "src-ts/errors.ts",
      "src-ts/keys",
      "src-ts/nearest.ts",
      "src-ts/options.ts",
      "src-ts/serve.ts",
    ],
    types: ["src-ts/engine/api.ts", "src-ts/server/index.ts"],
  },

  "src-ts/cli/agents": {},

  // Runs before anything is installed or built: Node alone.
  setup: {},
  "setup/native": { values: ["setup"] },
  "setup/clone": { values: ["setup", "setup/native"] },
};

const files = filesIn(root, ["src-ts", "setup"], /\.(tsx?|mjs)$/);
const imports = importsOf(root, files);

/** The folder of a file, or itself where it stands alone beside folders. */
function placeOf(path: string): string {
  if (path.startsWith("src-res/")) return "src-res";
  return ["src-ts", "src-ts/console", "src-ts/engine", "src-ts/server"].includes(dirname(path))
    ? path
    : dirname(path);
}

describe("imports go one way", () => {
  it("from every folder that there is", () => {
    const places = new Set(files.map(placeOf));
    expect([...places].sort()).toEqual(Object.keys(arrows).sort());
  });

  it("and every import names a file that there is", () => {
    const isThere = ({ target }: { target: string }) =>
      target.startsWith("src-res/") || existsSync(join(root, target));
    expect(imports.filter((one) => !isThere(one))).toEqual([]);
    expect(imports.length).toBeGreaterThan(300);
  });

  it.each(Object.entries(arrows))("from %s", (place, { values = [], types = [] }) => {
    const outwards = imports
      .filter(({ file, target }) => placeOf(file) === place && placeOf(target) !== place)
      .map(({ target, ...rest }) => ({ ...rest, target, to: placeOf(target) }));
    const isAllowed = ({ to, typeOnly }: { to: string; typeOnly: boolean }) =>
      values.includes(to) || (typeOnly && types.includes(to));
    expect(outwards.filter((one) => !isAllowed(one))).toEqual([]);
    // An arrow that nobody needs any more is taken off the table.
    const used = (to: string, typeOnly: boolean) =>
      outwards.some((one) => one.to === to && (typeOnly || !one.typeOnly));
    expect(values.filter((to) => !used(to, false))).toEqual([]);
    expect(types.filter((to) => !used(to, true) || used(to, false))).toEqual([]);
  });

  it("and never back", () => {
    const between = imports
      .map(({ file, target, typeOnly }) => ({
        file: placeOf(file),
        target: placeOf(target),
        typeOnly,
      }))
      .filter(({ file, target }) => file !== target);
    expect(circlesIn(graphOf(between.filter(({ typeOnly }) => !typeOnly)))).toEqual([]);
    // The Zod schemas of the machines are checked against the types beside them.
    expect(circlesIn(graphOf(between))).toEqual([["src-ts/machines", "src-ts/machines/schemas"]]);
  });

  it("from scripts, which nothing imports", () => {
    const scripts = importsOf(root, filesIn(root, ["scripts"], /\.mjs$/));
    const places = new Set(scripts.map(({ target }) => target.split("/")[0]));
    expect([...places].sort()).toEqual(["scripts", "setup", "tests"]);
    expect(imports.filter(({ target }) => target.startsWith("scripts/"))).toEqual([]);
  });
});

describe("no import goes round", () => {
  it("in TypeScript, not even of a type", () => {
    expect(circlesIn(graphOf(imports))).toEqual([]);
  });

  it("in TypeScript, of a value", () => {
    expect(circlesIn(graphOf(imports.filter(({ typeOnly }) => !typeOnly)))).toEqual([]);
  });

  it("in scripts", () => {
    const scripts = importsOf(root, filesIn(root, ["scripts", "setup"], /\.mjs$/));
    expect(circlesIn(graphOf(scripts.filter(({ typeOnly }) => !typeOnly)))).toEqual([]);
  });

  it("in ReScript", () => {
    const references = moduleReferences(join(root, "src-res"));
    expect(references.length).toBeGreaterThan(5);
    expect(circlesIn(graphOf(references))).toEqual([]);
  });
});

describe("docs/ARCHITECTURE.md", () => {
  const page = readFileSync(join(root, "docs/ARCHITECTURE.md"), "utf8");
  /** Rows of the table under a heading, each with its cells. */
  const tableOf = (heading: string) => {
    const section = page.slice(page.indexOf(`## ${heading}\n`)).split("\n## ")[0]!;
    const rows = section.split("\n").filter((line) => line.startsWith("| "));
    return rows.slice(1).map((row) => row.slice(2, -2).split(" | "));
  };

  it("has a line for every folder", () => {
    const named = tableOf("Folders").map(([folder = ""]) => folder.replaceAll("`", ""));
    const tests = readdirSync(join(root, "tests"), { withFileTypes: true })
      .filter((entry) => entry.isDirectory() && entry.name !== "fixtures")
      .map(({ name }) => `tests/${name}`);
    const folders = new Set([...files.map((file) => dirname(file)), ...tests]);
    expect([...folders].filter((folder) => !named.includes(folder))).toEqual([]);
    expect(named.filter((folder) => !existsSync(join(root, folder)))).toEqual([]);
  });

  it("says where things are added, in six files at most, and they are there", () => {
    const answers = tableOf("Where is …");
    expect(answers.length).toBeGreaterThan(6);
    for (const [what, where = ""] of answers) {
      const paths = [...where.matchAll(/`([^`]+\.\w+)`/g)].map(([, path]) => path!);
      expect(paths.length, what).toBeLessThanOrEqual(6);
      expect(
        paths.filter((path) => !existsSync(join(root, path))),
        what,
      ).toEqual([]);
    }
  });

  it("gives each word one meaning", () => {
    const words = tableOf("Words").flatMap(([word = ""]) => word.split(", "));
    expect(words.length).toBeGreaterThan(20);
    expect(words.filter((word, index) => words.indexOf(word) !== index)).toEqual([]);
  });
});

it("what browsers get imports nothing of Node", () => {
  const node = filesIn(root, ["src-ts/client"], /\.ts$/)
    .filter((name) => !name.endsWith("/websocket-node.ts"))
    .filter((name) => /from "(node:|ws")/.test(readFileSync(join(root, name), "utf8")));
  expect(node).toEqual([]);
});

it("no regular expression is made of what a client sends", () => {
  const folders = ["engine", "protocol", "server", "worker"].map((name) => `src-ts/${name}`);
  const made = filesIn(root, folders, /\.ts$/).flatMap((name) =>
    [...readFileSync(join(root, name), "utf8").matchAll(/\bRegExp\(([^\n]*)/g)].map(
      ([, what]) => what,
    ),
  );
  // The one holds a limit of our own; the other is made to see whether it is one, and matches nothing.
  expect(made).toEqual([
    expect.stringContaining("limits.streamIdCharsMax"),
    expect.stringMatching(/^pattern, "u"\);$/),
  ]);
});

describe.each(["src-ts/server/submissions", "src-ts/server/render"])("%s", (folder) => {
  it("knows no request and no reply", () => {
    const impure = filesIn(root, [folder], /\.ts$/).filter((name) =>
      /from "(fastify|ws|node:(http|net|stream))"/.test(readFileSync(join(root, name), "utf8")),
    );
    expect(impure).toEqual([]);
  });
});
