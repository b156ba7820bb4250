/** Pages made ready for the generator: their links lead to pages of the site, and all of them are at its side. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { pageOf, sourcePageOf } from "../../../scripts/lib/site/contents.mjs";
import { repositoryPages, sidebar, stage } from "../../../scripts/lib/site/stage.mjs";

const folder = mkdtempSync(join(tmpdir(), "mlx-serving-stage-"));
afterAll(() => rmSync(folder, { recursive: true }));
const generated = {
  http: "# Routes of HTTP\n\n[the protocol](../PROTOCOL.md#errors)",
  socket: "# Socket",
  typescript: "# TypeScript\n\n[client](typescript-client.md)",
  "typescript-client": "# Client",
};
const read = (page: string) => readFileSync(join(folder, `${page}.md`), "utf8");

describe("the pages", () => {
  let wrong: string[];
  beforeAll(() => {
    wrong = stage(folder, generated);
  });

  it("have no link that leads nowhere", () => expect(wrong).toEqual([]));

  it("link to one another by their places in the site", () => {
    expect(read("overview")).toContain("](/structured-output)");
    expect(read("index")).toContain("](/reference/http)");
    expect(read("reference/http")).toContain("](/protocol#errors)");
    expect(read("reference/typescript")).toContain("](/reference/typescript-client)");
  });

  it("have a page for each file and folder that they name", () => {
    expect(read("examples/index")).toContain("](/source/examples/typescript/readme)");
    expect(read("source/examples/typescript/agent.ts")).toContain("````ts\n");
    expect(read("source/docs/decisions")).toContain("](/decisions/0001-");
    expect(read("source/examples/web/readme")).toContain("](/source/examples/web/index-html)");
    expect(read("source/examples/web/index-html")).toContain("````html\n");
  });

  it("have their images, and no notes", () => {
    expect(read("console")).toMatch(/!\[[^\]]*\]\(\.\/images\/console\/[\w-]+\.webp\)/);
    expect(existsSync(join(folder, "images", "console", "start-desktop-light.webp"))).toBe(true);
    expect(read("overview")).not.toContain("<!--");
  });
});

it("each page stands at the side, once", () => {
  type Item = { link?: string; items?: Item[] };
  const links = (items: readonly Item[]): string[] =>
    items.flatMap(({ link, items: below = [] }) => [
      ...(link === undefined ? [] : [link]),
      ...links(below),
    ]);
  const all = links(sidebar(generated));
  const wanted = [
    ...repositoryPages(),
    ...Object.keys(generated).map((n) => `docs/reference/${n}.md`),
  ];
  expect(all.toSorted()).toEqual(
    wanted.map((path) => `/${pageOf(path).replace(/(^|\/)index$/, "$1")}`).toSorted(),
  );
});

it.each([
  ["README.md", "overview"],
  ["docs/README.md", "index"],
  ["docs/STRUCTURED-OUTPUT.md", "structured-output"],
  ["examples/README.md", "examples/index"],
])("%s is %s", (path, page) => expect(pageOf(path)).toBe(page));

it("a source keeps its ending, but for pages", () => {
  expect(sourcePageOf("docs/packaging/")).toBe("source/docs/packaging");
  expect(sourcePageOf("native/README.md")).toBe("source/native/readme");
});
