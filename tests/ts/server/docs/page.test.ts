/** GET /docs and below: pages, files, policy, and what is said where there is none. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { startServer } from "../../support/test-server.js";
import { writeSite } from "./small-site.js";

const asPerson = { headers: { accept: "text/html,*/*;q=0.8" } };

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), "mlx-serving-docs-"));
  onTestFinished(() => rmSync(path, { recursive: true }));
  return path;
}

describe("a documentation that was built", () => {
  const start = async () => {
    const docsFolder = folder();
    writeSite(docsFolder);
    return startServer({ apiKeys: ["key"], docsFolder });
  };

  it("is open, and lets nothing in from elsewhere", async () => {
    const { get } = await start();
    const answer = await get("/docs/client", asPerson);
    expect([answer.status, await answer.text()]).toEqual([200, "client.html"]);
    const policy = answer.headers.get("content-security-policy")!;
    expect(policy).toContain("script-src 'self';");
    expect(policy).not.toMatch(/https?:|\*/);
    expect(answer.headers.get("x-frame-options")).toBe("DENY");
    expect(answer.headers.get("cache-control")).toBe("no-cache");
    const etag = answer.headers.get("etag")!;
    expect((await get("/docs/client", { headers: { "if-none-match": etag } })).status).toBe(304);
  });

  it("has its first page at /docs/, where /docs goes on to", async () => {
    const { get } = await start();
    const bare = await get("/docs", { redirect: "manual" });
    expect([bare.status, bare.headers.get("location")]).toEqual([308, "/docs/"]);
    expect(await (await get("/docs?x=1")).text()).toBe("index.html");
    expect(await (await get("/docs/")).text()).toBe("index.html");
    expect(await (await get("/docs/examples/")).text()).toBe("examples/index.html");
  });

  it("has files that never change", async () => {
    const { get } = await start();
    const file = await get("/docs/assets/app.1.js", { headers: { "accept-encoding": "gzip" } });
    expect(file.headers.get("cache-control")).toContain("immutable");
    expect(file.headers.get("content-encoding")).toBe("gzip");
    expect(await file.text()).toBe("assets/app.1.js");
  });

  it("has a page for people who ask for one that there isn't, and an error for programs", async () => {
    const { get } = await start();
    const page = await get("/docs/none", asPerson);
    expect([page.status, await page.text()]).toEqual([404, "404.html"]);
    for (const path of ["/docs/none", "/docs/..%2f..%2fpackage.json", "/docs/manifest.json"]) {
      const error = await get(path);
      expect(error.status, path).toBe(404);
      expect(await error.json()).toMatchObject({ error: { code: "unknown_route" } });
    }
    expect((await get("/docs/client", { method: "POST" })).status).toBe(405);
  });
});

describe("one that was not", () => {
  it("says how it is", async () => {
    const { get } = await startServer({ docsFolder: folder() });
    const page = await get("/docs", asPerson);
    expect(page.status).toBe(404);
    expect(page.headers.get("cache-control")).toBe("no-store");
    expect(await page.text()).toContain("<code>npm run docs:site</code>");
    const error = await get("/docs/client");
    expect(error.status).toBe(404);
    expect(await error.text()).toContain("npm run docs:site");
  });
});
