/** The site as the server gets it: nothing inline, nothing from elsewhere, compressed, in place of the one before. */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { afterAll, describe, expect, it } from "vitest";
import { faultsOf, packSite } from "../../../scripts/lib/site/pack.mjs";
import { DocsSite } from "../../../src-ts/server/docs/site.js";

const folder = mkdtempSync(join(tmpdir(), "mlx-serving-site-"));
afterAll(() => rmSync(folder, { recursive: true }));
const html = join(folder, "html");
const out = join(folder, "docs");

describe("packing", () => {
  mkdirSync(join(html, "assets"), { recursive: true });
  const head = '<head><script id="a">let x = 1;</script></head>';
  writeFileSync(join(html, "index.html"), `<html>${head}<script>let x = 1;</script></html>`);
  writeFileSync(join(html, "assets", "app.1.js"), "let y;");
  writeFileSync(join(html, "hashmap.json"), "{}");

  it("makes files of scripts, and what the server reads", async () => {
    mkdirSync(out);
    writeFileSync(join(out, "old.html.gz"), "");
    expect(packSite(html, ".c-1{}", out)).toMatchObject({ files: 4 });
    expect(existsSync(join(out, "old.html.gz"))).toBe(false);
    const page = String(gunzipSync(readFileSync(join(out, "index.html.gz"))));
    const [, script] = /<script src="\/docs\/(assets\/inline\.\w{10}\.js)"><\/script>/.exec(page)!;
    const [, sheet] = /<link rel="stylesheet" href="\/docs\/(assets\/[^"]+)"><\/head>/.exec(page)!;
    const site = new DocsSite(out);
    const textOf = async (name: string) => String((await site.read(name, "")).bodies.identity);
    expect(await textOf(script!)).toBe("let x = 1;");
    expect(await textOf(sheet!)).toBe(".c-1{}");
    expect(site.find("hashmap.json")).toBeUndefined();
    expect((await site.read("index.html", "")).type).toContain("text/html");
  });
});

describe("a page", () => {
  it.each([
    ['<script src="https://cdn.example.org/x.js"></script>', "asks https://cdn.example.org/x.js"],
    ['<link rel="stylesheet" href="//fonts.example.org/a.css">', "asks //fonts.example.org"],
    ["<script>let x</script>", "has <script> in it"],
    ['<p onclick="x()">', "has  onclick="],
  ])("with %s is refused", (text, words) => {
    expect(faultsOf("a.html", text).join()).toContain(words);
  });

  it("with links and files of its own is not", () => {
    const text = '<a href="https://example.org">x</a><script src="/docs/a.js"></script>';
    expect(faultsOf("a.html", text)).toEqual([]);
    expect(faultsOf("a.exe", "").join()).toContain("no type is known");
  });
});
