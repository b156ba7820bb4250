/** The pages of examples/ in a real Chromium, served by nothing but a server of files, each from an origin of its own. */
import { join } from "node:path";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { examples, makeExample } from "../e2e/support/example-project.js";
import { type ServerProcess, startServer } from "../e2e/support/server.js";
import { executablePath, open, titled, useBrowser } from "./support/browser.js";
import { serveFiles } from "./support/files.js";

const blue = "Air scatters blue light more than red, so blue comes from everywhere.";
let server: ServerProcess;

/** The page of an example, beside the server. */
async function visit(name: string) {
  const project = await makeExample(name);
  onTestFinished(() => project[Symbol.asyncDispose]());
  const files = await serveFiles(project.folder);
  onTestFinished(() => files[Symbol.asyncDispose]());
  return open(`${files.url}/?server=${server.url}`);
}

const status = (page: Page) => page.locator("#status");
const text = (page: Page) => page.locator("#text").innerText();

async function ask(page: Page, question: string): Promise<void> {
  await page.getByLabel("Question").fill(question);
  await page.getByRole("button", { name: "Send" }).click();
}

async function untilGrown(page: Page): Promise<void> {
  await page.waitForFunction(() => document.getElementById("text")!.textContent!.length > 40);
}

describe.skipIf(executablePath === undefined)(titled("pages of the examples"), () => {
  useBrowser();
  beforeAll(async () => {
    const script = ["--fake-script", join(examples, "script.json")];
    const flags = ["--engine", "fake", ...script, "--fake-tokens-per-second", "200"];
    server = await startServer({ flags });
  });
  afterAll(() => server?.[Symbol.asyncDispose]());

  it.each(["web", "react"])("%s: shows an answer, and stops a long one", async (name) => {
    const { page, faults } = await visit(name);
    await ask(page, "Why is the sky blue?");
    await page.waitForFunction(() =>
      /^completed, \d+ tokens$/.test(document.getElementById("status")!.innerText),
    );
    expect(await text(page)).toBe(blue);
    await ask(page, "Tell me a long story.");
    await untilGrown(page);
    expect(await status(page).innerText()).toBe("streaming");
    await page.getByRole("button", { name: "Stop" }).click();
    await page.waitForFunction(() =>
      /^cancelled, \d+ tokens$/.test(document.getElementById("status")!.innerText),
    );
    expect((await text(page)).length).toBeGreaterThan(40);
    expect(faults).toEqual([]);
  });

  it("web: a reload goes on with the answer that was running", async () => {
    const { page } = await visit("web");
    await ask(page, "Tell me a longer story.");
    await untilGrown(page);
    const before = await text(page);
    await page.reload();
    await untilGrown(page);
    expect(await status(page).innerText()).toBe("streaming");
    const prefix = Math.min(before.length, 40);
    expect((await text(page)).slice(0, prefix)).toBe(before.slice(0, prefix));
    await page.getByRole("button", { name: "Stop" }).click();
    await page.waitForFunction(() =>
      document.getElementById("status")!.innerText.startsWith("cancelled"),
    );
  });

  it("web: an answer that the server has forgotten is none", async () => {
    const { page } = await visit("web");
    await page.evaluate(() => sessionStorage.setItem("responseId", "resp_gone"));
    await page.reload();
    await page.waitForFunction(() => document.getElementById("status")!.innerText === "idle");
  });
});
