/** Code blocks of README.md and docs/: each is run by `npm run docs:check`, checked here, or skipped by name. */
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Ajv2020 } from "ajv/dist/2020.js";
import { afterAll, describe, expect, it } from "vitest";
import { blocksOfPage } from "../../../scripts/lib/pages/all.mjs";
import {
  type Block,
  blocksOf,
  isTypeScript,
  programOf,
} from "../../../scripts/lib/pages/blocks.mjs";
import { repositoryPages } from "../../../scripts/lib/site/stage.mjs";
import { packageRoot as root } from "../../../setup/paths.mjs";
import { environmentFolder, interpreterOf } from "../../../setup/python.mjs";
import { ClientMessage, ServerEvent } from "../../../src-ts/protocol/events.js";

const pages = repositoryPages().map((path) => ({ path, blocks: blocksOfPage(path) }));
const blocks = pages.flatMap((page) => page.blocks);
const placeOf = ({ page, line }: Block) => `${page}:${line}`;

describe("notes", () => {
  const noted = (note: string) => blocksOf("p.md", `text\n\n${note}\n\`\`\`sh\ntrue\n\`\`\`\n`);

  it("say what is done with the block after them", () => {
    expect(noted("<!-- block: skip macOS only -->")).toEqual([
      { page: "p.md", line: 4, language: "sh", code: "true", notes: { skip: "macOS only" } },
    ]);
    expect(noted("<!-- other -->")[0]!.notes).toEqual({});
  });

  it("are refused where they mean nothing", () => {
    expect(() => noted("<!-- block: skipped -->")).toThrow("p.md:3: no note is called so");
    expect(() => noted("<!-- block: skip -->")).toThrow("skip needs words");
    expect(() => blocksOf("p.md", "<!-- block: starts -->\n\n# Title\n")).toThrow(
      "no block follows",
    );
  });

  it("put programs together", () => {
    const page = blocksOf(
      "p.md",
      "```ts\nconst a = 1;\n```\n\n<!-- block: continues -->\n<!-- block: given const b = 2; -->\n```ts\na + b;\n```\n",
    );
    expect(programOf(page, page[1]!)).toBe("const a = 1;\nconst b = 2;\na + b;");
  });
});

describe("all blocks", () => {
  const languages = [
    "ini",
    "js",
    "json",
    "mermaid",
    "python",
    "rescript",
    "sh",
    "text",
    "toml",
    "ts",
    "tsx",
    "yaml",
  ];

  it("have a language that something is done with", () => {
    const strange = blocks.filter(({ language }) => !languages.includes(language));
    expect(strange.map(placeOf)).toEqual([]);
    expect(blocks.length).toBeGreaterThan(60);
  });

  it("are run, but for these", () => {
    const skipped = blocks.filter(({ notes }) => notes.skip !== undefined);
    expect(skipped.map(({ page, notes }) => `${page}: ${notes.skip}`)).toMatchInlineSnapshot(`
      [
        "README.md: it would run the tests, of which this is one; the tutorials run npm start",
        "README.md: a model of the hub, and a folder that the reader has; the tutorials run npm start",
        "README.md: lines for a file that there is: scripts/lib/consumers/plain-init.mjs compiles with them",
        "examples/README.md: runs in the clone; tests/e2e/examples.test.ts runs the programs against such a server",
        "docs/tutorials/agent-user.md: fetches a model of 2.3 GB from a hub",
        "docs/migration/ollama.md: fetches a model of 2.3 GB from a hub",
        "docs/migration/mlx-lm-server.md: fetches a model of 2.3 GB from a hub",
        "docs/migration/lm-studio.md: a model that LM Studio has fetched",
        "docs/migration/llama-cpp.md: fetches a model of 2.3 GB from a hub",
        "docs/BROWSER.md: a page's own elements; tests/console runs examples/web, whose store is this one",
        "docs/BROWSER.md: a component in a page; tests/console runs examples/react, whose hook is this one",
        "docs/BROWSER.md: a part of a program",
        "docs/BROWSER.md: a backend of the reader's",
        "docs/LM-EVAL.md: a task of the hub, and 1 GB of packages; npm run lm-eval runs tasks from files",
        "docs/OBSERVABILITY.md: a collector that listens there; tests/ts/telemetry has one of its own",
        "docs/PACKAGING.md: changes the machine: systemd",
        "docs/PACKAGING.md: changes the machine: systemd",
        "docs/PACKAGING.md: macOS only: launchd",
        "docs/PACKAGING.md: needs Docker",
        "docs/PACKAGING.md: needs a release with its checksums; tests/scripts/packaging.test.ts signs and checks one",
        "docs/NATIVE.md: compiles for minutes; npm run build:native does the same",
      ]
    `);
  });

  it("of programs are written to a file that commands use, or run by themselves", () => {
    const lonely = blocks.filter(
      ({ language, notes }) =>
        language === "rescript" && notes.file === undefined && notes.skip === undefined,
    );
    expect(lonely.map(placeOf)).toEqual([]);
  });
});

describe("JSON", () => {
  const openApi = JSON.parse(readFileSync(join(root, "docs/openapi.json"), "utf8")) as object;
  const ajv = new Ajv2020({ strict: false, validateFormats: false });
  ajv.addSchema(openApi, "openapi");
  const own = blocks.filter(
    ({ language, notes }) => language === "json" && notes.skip === undefined,
  );

  it.each(own.map((block) => [placeOf(block), block] as const))(
    "of %s is what it stands for",
    (_, block) => {
      for (const value of valuesIn(block.code))
        expect(faultsOf(value, block), block.code).toEqual([]);
    },
  );

  /** One value, or one a line. */
  function valuesIn(code: string): unknown[] {
    try {
      return [JSON.parse(code)];
    } catch {
      return code.split("\n").map((line) => JSON.parse(line) as unknown);
    }
  }

  function faultsOf(value: unknown, { notes }: Block): unknown[] {
    // A file of the reader's project: what reads it there complains.
    if (notes.file !== undefined || notes.output !== undefined) return [];
    if (notes.schema !== undefined) {
      const [name, ...fields] = notes.schema.split(".");
      const pointer = [
        "components",
        "schemas",
        name,
        ...fields.flatMap((field) => ["properties", field]),
      ];
      const validate = ajv.compile({ $ref: `openapi#/${pointer.join("/")}` });
      return validate(value) ? [] : (validate.errors ?? []);
    }
    const schemas = [ClientMessage, ServerEvent].map((schema) => schema.safeParse(value));
    return schemas.some(({ success }) => success) ? [] : schemas.map(({ error }) => error?.message);
  }
});

describe("programs", () => {
  const folder = join(root, ".setup", "typed-blocks");
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it("of TypeScript have the types that they use", () => {
    mkdirSync(folder, { recursive: true });
    for (const page of pages)
      for (const block of page.blocks.filter(
        (one) => isTypeScript(one) && one.notes.skip === undefined,
      )) {
        const name = placeOf(block).replace(/[/:]/g, "-");
        writeFileSync(
          join(folder, `${name}.${block.language === "js" ? "mjs" : "mts"}`),
          programOf(page.blocks, block),
        );
      }
    const options = {
      extends: "../../tests/tsconfig.json",
      include: ["*.mts"],
      compilerOptions: { noEmit: true, allowImportingTsExtensions: false },
    };
    writeFileSync(join(folder, "tsconfig.json"), JSON.stringify(options));
    const tsc = join(root, "node_modules", ".bin", "tsc");
    const { stdout, status } = spawnSync(process.execPath, [tsc, "-p", folder], {
      encoding: "utf8",
    });
    expect([status, stdout]).toEqual([0, ""]);
  });

  it("of Python compile", () => {
    const sources = blocks.filter(({ language }) => language === "python").map(({ code }) => code);
    expect(sources.length).toBeGreaterThan(1);
    const script = "import ast, json, sys\nfor source in json.load(sys.stdin): ast.parse(source)";
    const python = interpreterOf(environmentFolder());
    const { status, stderr } = spawnSync(python, ["-c", script], {
      input: JSON.stringify(sources),
      encoding: "utf8",
    });
    expect([status, stderr]).toEqual([0, ""]);
  });

  it("of the shell can be read by it", () => {
    const sources = blocks
      .filter(({ language }) => language === "sh")
      .map(({ code }) => `(\n${code}\n)`);
    const { status, stderr } = spawnSync("bash", ["-n"], {
      input: sources.join("\n"),
      encoding: "utf8",
    });
    expect([status, stderr]).toEqual([0, ""]);
  });
});
