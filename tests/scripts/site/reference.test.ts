/** The reference that is made from schemas, interfaces and help texts. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { commandsIn } from "../../../scripts/lib/site/command-line.mjs";
import { httpReference } from "../../../scripts/lib/site/http.mjs";
import { boundsOf, fieldsTable, typeOf } from "../../../scripts/lib/site/json-schema.mjs";
import { modulePage } from "../../../scripts/lib/site/rescript.mjs";
import { modulePage as typescriptPage } from "../../../scripts/lib/site/typescript.mjs";
import { packageRoot } from "../../../setup/paths.mjs";

const linkOf = (name: string) => `#${name}`;

describe("a schema", () => {
  it.each([
    [{ $ref: "#/components/schemas/A" }, "[A](#A)"],
    [{ enum: ["a", 1] }, '`"a"` or `1`'],
    [{ anyOf: [{ type: "string" }, { type: "null" }, { type: "string" }] }, "string or null"],
    [{ type: "array", items: { type: "integer" } }, "list of integer"],
    [{ const: "x" }, '`"x"`'],
    [{}, "any"],
  ])("%j is %s", (schema, words) => expect(typeOf(schema, linkOf)).toBe(words));

  it("has bounds, of its kinds too, and none that mean nothing", () => {
    expect(boundsOf({ minimum: 0, maximum: 2 })).toBe("from 0 to 2");
    expect(boundsOf({ maxLength: 512 })).toBe("at most 512 characters");
    expect(boundsOf({ anyOf: [{ maxItems: 4 }, { type: "null" }] })).toBe("at most 4 entries");
    expect(boundsOf({ maximum: Number.MAX_SAFE_INTEGER })).toBe("");
  });

  it("is a table of its fields", () => {
    const schema = { properties: { a: { type: "string", description: "x|y" } }, required: ["a"] };
    expect(fieldsTable(schema, linkOf)).toContain("| `a` * | string | x\\|y |");
    expect(fieldsTable({ type: "string" }, linkOf)).toBe("");
  });
});

it("routes and messages are all there", () => {
  const document = (name: string) =>
    JSON.parse(readFileSync(join(packageRoot, "docs", `${name}.json`), "utf8"));
  const [openApi, asyncApi] = [document("openapi"), document("asyncapi")];
  const pages = httpReference(openApi, asyncApi);
  for (const path of Object.keys(openApi.paths)) expect(pages.http).toContain(` \`${path}\`\n`);
  for (const name of Object.keys(openApi.components.schemas))
    expect(pages["http-schemas"]).toContain(`## ${name}\n`);
  for (const { name } of Object.values<{ name: string }>(asyncApi.components.messages))
    expect(pages.socket).toContain(`### ${name}\n`);
});

it("a ReScript module has its types and values with what is said of them", () => {
  const page = modulePage({
    name: "Request-MlxServing",
    docstrings: ["From acceptance on."],
    items: [
      {
        kind: "type",
        name: "t",
        signature: "type t = A",
        docstrings: ["A type."],
        detail: { items: [{ name: "A", docstrings: ["a|b"] }] },
      },
      { kind: "value", name: "initial", signature: "let initial: t", docstrings: [] },
    ],
  });
  expect(page).toContain("# Request\n");
  expect(page).toContain("### t\n\n```rescript\ntype t = A\n```\n\nA type.");
  expect(page).toContain("| `A` | a\\|b |");
  expect(page).toContain("## Values\n\n### initial");
});

it("a TypeScript module has the name by which one imports it, and links within the site", () => {
  const text =
    "# client\n\n[`limits`](namespaces/limits.md) `z.infer`\\<*typeof* [`A`](#a)\\> [`b`](#b) [`c`](../index.md#c)";
  expect(typescriptPage(text, "client/README.md", new Set(["A"]))).toBe(
    "# mlx-serving/client\n\n[`limits`](typescript-client-limits.md) [A](http-schemas.md#a) [`b`](#b) [`c`](typescript-index.md#c)",
  );
});

it("commands are read from what --help lists", () => {
  const text =
    "Usage\n\nCommands:\n  serve           start\n                  more\n  help [command]  x\n\nExamples:\n  a b\n";
  expect(commandsIn(text)).toEqual(["serve"]);
});
