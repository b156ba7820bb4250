/** The documentation in a browser, where it was built: its policy holds, it searches, and asks no other host. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { packageRoot } from "../../setup/paths.mjs";
import { createServer, type ServingServer } from "../../src-ts/server/index.js";
import { ScriptedEngine } from "../ts/support/scripted-engine.js";
import { executablePath, open, titled, useBrowser } from "./support/browser.js";

const isBuilt = existsSync(join(packageRoot, "dist", "docs", "manifest.json"));
const name = isBuilt ? titled("documentation") : "documentation (skipped: not built here)";

describe.skipIf(executablePath === undefined || !isBuilt)(name, () => {
  useBrowser();
  const engine = new ScriptedEngine();
  let server: ServingServer | undefined;
  afterAll(async () => {
    await server?.close();
    await engine.close();
  });

  it("is read, gone through and searched, within its policy", async () => {
    server = createServer({ engine, config: { port: 0, apiKeys: ["key"] } });
    const { url } = await server.listen();
    const { page, faults } = await open(`${url}/docs`);
    const foreign: string[] = [];
    page.on("request", (request) => {
      if (!request.url().startsWith(url)) foreign.push(request.url());
    });
    await page.getByRole("link", { name: "A client of the WebSocket" }).first().click();
    await page.getByRole("heading", { level: 1, name: "A client of the WebSocket" }).waitFor();
    expect(new URL(page.url()).pathname).toBe("/docs/tutorials/socket-client");
    // Keys are heard once its scripts have run.
    await page.reload({ waitUntil: "networkidle" });
    await page.keyboard.press("Control+k");
    await page.getByRole("searchbox").fill("consumer_too_slow");
    await page.getByRole("option").first().click();
    await page.waitForURL(/\/docs\/\S+#/);
    const missing = await page.goto(`${url}/docs/none`);
    expect(missing?.status()).toBe(404);
    await page.getByText("PAGE NOT FOUND").waitFor();
    await page.goto(`${url}/docs/reference/http`);
    await page.getByRole("link", { name: "Console", exact: true }).first().click();
    await page.getByRole("heading", { name: "Sign in" }).waitFor();
    expect([faults, foreign]).toEqual([[], []]);
  });
});
