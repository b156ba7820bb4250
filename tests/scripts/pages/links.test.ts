/** Links of the pages lead somewhere, in the repository and in the site alike; none names this machine. */
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import GithubSlugger from "github-slugger";
import { lexer, walkTokens } from "marked";
import { describe, expect, it } from "vitest";
import { pageOf } from "../../../scripts/lib/site/contents.mjs";
import { linksOf, targetOf, withLinks } from "../../../scripts/lib/site/links.mjs";
import { repositoryPages } from "../../../scripts/lib/site/stage.mjs";
import { packageRoot as root } from "../../../setup/paths.mjs";

const read = (path: string) => readFileSync(join(root, path), "utf8");
const pages = repositoryPages();

describe("links", () => {
  it("are found outside of code, and replaced", () => {
    const page = "[a](b.md) `[c](d)` ``[c](`d`)``\n```sh\n[e](f)\n```\n![g](h.png)";
    expect(linksOf(page)).toEqual(["b.md", "h.png"]);
    expect(withLinks("[a](b.md)", (href) => `/${href}`)).toBe("[a](/b.md)");
  });

  it("lead from where they stand", () => {
    expect(targetOf("docs/a/b.md", "../C.md#d")).toEqual({ path: "docs/C.md", anchor: "d" });
    expect(targetOf("docs/b.md", "#d")).toEqual({ path: "docs/b.md", anchor: "d" });
    expect(targetOf("README.md", "docs/x/")).toEqual({ path: "docs/x" });
    expect(targetOf("README.md", "https://example.org")).toEqual({
      outside: "https://example.org",
    });
  });
});

const known = new Map<string, Set<string>>();

/** Of a page's headings, as GitHub and the site make them. */
function anchorsOf(path: string): Set<string> {
  const before = known.get(path);
  if (before !== undefined) return before;
  const slugger = new GithubSlugger();
  const anchors = new Set<string>();
  walkTokens(lexer(read(path)), (token) => {
    if (token.type !== "heading") return;
    const text = (token.tokens ?? []).map((one) => ("text" in one ? one.text : one.raw)).join("");
    anchors.add(slugger.slug(text));
  });
  known.set(path, anchors);
  return anchors;
}

describe.each(pages)("%s", (page) => {
  it("has links that lead somewhere", () => {
    const dead = linksOf(read(page)).filter((href) => {
      const target = targetOf(page, href);
      if ("outside" in target) return !isGoodAddress(target.outside);
      if (!existsSync(join(root, target.path))) return true;
      return target.anchor !== undefined && !anchorsOf(target.path).has(target.anchor);
    });
    expect(dead).toEqual([]);
  });

  it("names no folder of one machine, and begins with its title", () => {
    expect(read(page)).not.toMatch(/(?<![\w.~$"'`}/])\/(?:home|root|Users|tmp|work)\/\w/);
    expect(read(page).replace(/^<!--[\s\S]*?-->\s*/g, "")).toMatch(/^# \S/);
  });
});

/** There is no network to ask: it has the form of one, and is no example that somebody forgot. */
function isGoodAddress(text: string): boolean {
  const { protocol, hostname } = new URL(text);
  return protocol === "https:" && hostname.includes(".");
}

it("every page of the repository has its place in the site, and one alone", () => {
  const all = readdirSync(join(root, "docs"), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".md") && statSync(join(root, "docs", name)).isFile())
    .map((name) => `docs/${name}`);
  expect(all.filter((path) => !pages.includes(path))).toEqual([]);
  expect(new Set(pages.map(pageOf)).size).toBe(pages.length);
});
