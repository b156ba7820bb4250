/** GET / and its files: forms, caching, policy, and a console that was not built. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { ConsoleAssets } from "../../../../src-ts/server/console/assets.js";
import { startServer } from "../../support/test-server.js";

const folder = mkdtempSync(join(tmpdir(), "mlx-serving-console-"));
afterAll(() => rmSync(folder, { recursive: true }));

describe("the page", () => {
  it("is open, lets nothing in from elsewhere, and says nothing of the server", async () => {
    const { get } = await startServer({ apiKeys: ["key"] });
    const answer = await get("/");
    const policy = answer.headers.get("content-security-policy")!;
    expect(policy).toContain("default-src 'none'");
    expect(policy).toContain("frame-ancestors 'none'");
    expect(policy).not.toMatch(/unsafe|https?:|\*/);
    expect(answer.headers.get("x-frame-options")).toBe("DENY");
    expect(answer.headers.get("content-type")).toContain("text/html");
    const page = await answer.text();
    expect(page).not.toContain("org/first");
    // What the policy forbids is not in it.
    expect(page).not.toMatch(/<style|<script>|\son\w+=|style=/);
  });

  it("is asked for again in vain while it is the same, and so are its files, for ever", async () => {
    const { get } = await startServer();
    const page = await get("/");
    expect(page.status).toBe(200);
    const etag = page.headers.get("etag")!;
    expect((await get("/", { headers: { "if-none-match": etag } })).status).toBe(304);
    const [, script] = /<script type="module" src="(\/console\/[^"]+)"/.exec(await page.text())!;
    const file = await get(script!, { headers: { "accept-encoding": "gzip, br" } });
    expect(file.headers.get("cache-control")).toContain("immutable");
    expect(file.headers.get("content-encoding")).toBe("br");
    expect((await file.text()).length).toBeGreaterThan(10_000);
    for (const path of [
      "/console/none.js",
      "/console/manifest.json",
      "/console/..%2f..%2fpackage.json",
    ])
      expect((await get(path)).status, path).toBe(404);
  });
});

describe("the files", () => {
  it("are missed until they are built, and found then", () => {
    const assets = new ConsoleAssets(folder);
    expect(assets.page).toBeUndefined();
    for (const ending of ["", ".gz", ".br"])
      writeFileSync(join(folder, `index.html${ending}`), ending);
    const files = { "index.html": { type: "text/html", hash: "abc" } };
    writeFileSync(join(folder, "manifest.json"), JSON.stringify({ page: "index.html", files }));
    expect(assets.page?.etag).toBe('"abc"');
    expect(String(assets.page?.bodies.gzip)).toBe(".gz");
    expect(assets.file("index.html")).toBeUndefined();
  });
});
