/**
 * The console as people use it, in a real Chromium, on one server with the fake engine: its text depends on the prompt
 * alone, so what a stream should have said is known from another request.
 */

import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import axeCore from "axe-core";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type ServerProcess, startServer } from "../e2e/support/server.js";
import { executablePath, open, openIn, titled, useBrowser } from "./support/browser.js";
import {
  answers,
  ask,
  composer,
  lastAnswer,
  said,
  untilEnded,
  untilGrown,
} from "./support/chat.js";

const script = fileURLToPath(new URL("../fixtures/console-script.json", import.meta.url));
/** Slow enough to be disturbed in the middle, fast enough to be waited for. */
const tokensPerS = 120;

let server: ServerProcess;

describe.skipIf(executablePath === undefined)(titled("the console"), () => {
  useBrowser();
  beforeAll(async () => {
    server = await startServer({
      flags: [
        ...["--engine", "fake", "--fake-script", script, "--workers", "2"],
        ...["--fake-tokens-per-second", String(tokensPerS)],
      ],
    });
  });
  afterAll(() => server?.[Symbol.asyncDispose]());

  const at = (hash: string) => `${server.url}/#/${hash}`;

  /** What the engine says to this, undisturbed. */
  async function undisturbed(input: string, tokens: number): Promise<string> {
    const answer = await fetch(`${server.url}/v1/responses`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({
        input: [{ type: "message", role: "user", content: input }],
        max_output_tokens: tokens,
      }),
    });
    const { output } = (await answer.json()) as { output: { content: { text: string }[] }[] };
    return output[0]!.content[0]!.text.replace(/\s+/g, " ").trim();
  }

  async function limitTokens(page: Page, tokens: number): Promise<void> {
    await page.getByLabel("Settings").click();
    await page.getByLabel("Longest answer").fill(String(tokens));
    await page.getByRole("button", { name: "Close" }).click();
  }

  const textOf = async (page: Page): Promise<string> =>
    (await said(lastAnswer(page)).innerText()).replace(/\s+/g, " ").trim();

  it("says what runs, how to connect, and chats at once", async () => {
    const { page, faults } = await open(at(""));
    await page.getByRole("heading", { name: "mlx-serving is running" }).waitFor();
    await page.getByText("2 of 2 workers ready").waitFor();
    await page.getByRole("tab", { name: "Anthropic" }).click();
    const snippet = page.getByRole("tabpanel");
    await snippet.filter({ hasText: `base_url="${server.url}"` }).waitFor();
    await page.getByRole("button", { name: "Explain prefill and decode" }).click();
    const answer = await untilEnded(page);
    await said(answer).getByRole("cell", { name: "memory bandwidth" }).waitFor();
    expect(
      await said(answer).locator("code.language-python .hljs-keyword").count(),
    ).toBeGreaterThan(0);
    // Reasoning is folded, and can be read.
    const reasoning = answer.locator("details.fold");
    expect(await reasoning.getAttribute("open")).toBeNull();
    await reasoning.locator("summary").click();
    await reasoning.getByText("contrast the two phases").waitFor();
    expect(await answer.locator(".figures").innerText()).toMatch(
      /\d+ tokens · [\d.]+ tokens\/s · first token after /,
    );
    await page.getByText(/of 131,072 tokens/).waitFor();
    expect(faults).toEqual([]);
  });

  it("stops an answer, and can ask for another", async () => {
    const { page } = await open(at("chat"));
    await ask(page, "A long story");
    await untilGrown(page, 40);
    await page.getByRole("button", { name: "Stop" }).click();
    const answer = await untilEnded(page);
    await answer.getByText("Stopped.").waitFor();
    const short = await textOf(page);
    expect(short.length).toBeGreaterThan(20);
    await limitTokens(page, 30);
    await answer.getByRole("button", { name: "Answer again" }).click();
    await lastAnswer(page).getByText("2/2").waitFor();
    await lastAnswer(page).getByRole("button", { name: "Previous version" }).click();
    await lastAnswer(page).getByText("Stopped.").waitFor();
    expect(await textOf(page)).toBe(short);
  });

  it("edits a message into a branch, and keeps both over a reload", async () => {
    const { page } = await open(at("chat"));
    await ask(page, "Say one");
    await untilEnded(page);
    await composer(page).press("ArrowUp");
    await page.getByLabel("Edit", { exact: true }).fill("Say two");
    await page.getByLabel("Edit", { exact: true }).press("Enter");
    await lastAnswer(page).getByText("second version").waitFor();
    await untilEnded(page);
    await page.getByRole("button", { name: "Previous version" }).click();
    await lastAnswer(page).getByText("first version").waitFor();
    await page.reload();
    await lastAnswer(page).getByText("first version").waitFor();
    await page.getByRole("button", { name: "Next version" }).click();
    await lastAnswer(page).getByText("second version").waitFor();
    // The branch in a conversation of its own has one version.
    await lastAnswer(page).getByRole("button", { name: "Continue in a new chat" }).click();
    await page.getByText("1/2").waitFor({ state: "detached" });
    await lastAnswer(page).getByText("second version").waitFor();
    expect(await page.locator(".list-row").count()).toBe(2);
  });

  it("goes on with an answer after a reload in the middle of it", async () => {
    const tokens = 240;
    const expected = await undisturbed("The reloaded story", tokens);
    const { page } = await open(at("chat"));
    await limitTokens(page, tokens);
    await ask(page, "The reloaded story");
    await untilGrown(page, 60);
    await page.reload();
    await untilGrown(page, 60);
    const answer = await untilEnded(page);
    await answer.getByText("The limit of tokens was reached.").waitFor();
    expect(await textOf(page)).toBe(expected);
    expect(await answers(page).count()).toBe(1);
  });

  it("shows the same text when its worker is killed from the live view meanwhile", async () => {
    const { page, context } = await open(at("chat"));
    const live = await openIn(context, at("live"));
    await live.locator(".worker").nth(1).waitFor();
    // Longer than any of this can take: it is stopped in the end.
    await limitTokens(page, 100_000);
    await ask(page, "The story of a death");
    await untilGrown(page, 60);
    const row = live.locator("tr.running").first();
    await row.getByText("decode").waitFor();
    const workerId = await row.locator("td").nth(2).innerText();
    const card = live.locator(".worker", { has: live.getByRole("heading", { name: workerId }) });
    await card.getByRole("button", { name: "Kill this worker" }).click();
    await live.getByRole("dialog").getByRole("button", { name: "Kill this worker" }).click();
    await live.getByText(`${workerId} was killed.`).waitFor();
    await lastAnswer(page).getByText("A worker died once meanwhile").waitFor();
    await untilGrown(page, (await textOf(page)).length + 60);
    await page.getByRole("button", { name: "Stop" }).click();
    const answer = await untilEnded(page);
    const tokens = Number(
      /^([\d,]+) tokens/.exec(await answer.locator(".figures").innerText())![1]!.replace(",", ""),
    );
    // Half a character is shown at a limit, and left out where an answer was stopped in it.
    const whole = (await undisturbed("The story of a death", tokens)).replace(/\uFFFD+$/, "");
    expect(await textOf(page)).toBe(whole.trimEnd());
    // The worker's next process, and the request's timeline, tell the same.
    const restarts = card.locator("dt", { hasText: "Restarts" });
    await restarts.locator("xpath=following-sibling::dd[text()='1']").waitFor();
    const ended = live.locator("tr.ended", { hasText: "migrated once" });
    await ended.getByRole("link").click();
    const timeline = live.getByRole("dialog");
    await timeline.getByText("Its worker was lost; back to the queue").waitFor();
    await timeline.getByText("Ended: cancelled").waitFor();
    expect(await timeline.getByText("Given to a worker").count()).toBe(2);
  });

  it("cancels a request of somebody else's from the live view", async () => {
    const { page } = await open(at("live"));
    const foreign = fetch(`${server.url}/v1/responses`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ input: "Somebody's", max_output_tokens: 2_000 }),
    });
    await page
      .locator("tr.running")
      .getByRole("button", { name: /^Cancel/ })
      .click();
    const { status } = (await (await foreign).json()) as { status: string };
    expect(status).toBe("cancelled");
    await page.locator("tr.ended", { hasText: "cancelled" }).first().waitFor();
  });

  it("shows a call, takes its result, and lets the model go on", async () => {
    const { page } = await open(at("chat"));
    await page.getByLabel("Settings").click();
    const tools = page.getByLabel("Tools, as JSON");
    await tools.fill("{");
    await page.getByText("These are no tools").waitFor();
    const parameters = { type: "object", properties: { city: { type: "string" } } };
    await tools.fill(JSON.stringify([{ type: "function", name: "weather", parameters }]));
    await page.getByRole("button", { name: "Close" }).click();
    await ask(page, "What is the weather in Oslo?");
    await page.getByText("Calls weather").waitFor();
    await page.getByText('"city": "Oslo"').waitFor();
    await page.getByLabel("Result").fill("-4 °C, light snow");
    await page.getByRole("button", { name: "Give the result" }).click();
    await lastAnswer(page).getByText("Take gloves").waitFor();
  });

  it("runs nothing that a model writes, and loads nothing", async () => {
    const { page, faults } = await open(at("chat"));
    const asked: string[] = [];
    page.on("request", (request) => asked.push(request.url()));
    page.on("dialog", (dialog) => {
      faults.push(dialog.message());
      void dialog.dismiss();
    });
    await ask(page, "Show danger");
    const answer = await untilEnded(page);
    expect(await textOf(page)).toContain('<img src=x onerror="alert(1)">');
    expect(await answer.locator("img, script, a[href^='javascript']").count()).toBe(0);
    expect(asked.filter((url) => !url.startsWith(server.url) && !url.startsWith("ws"))).toEqual([]);
    expect(faults).toEqual([]);
  });

  it("makes a file of a huge paste, and refuses what is no text", async () => {
    const { page } = await open(at("chat"));
    await composer(page).evaluate((field) => {
      const data = new DataTransfer();
      data.setData("text/plain", "a long line\n".repeat(20_000));
      field.dispatchEvent(new ClipboardEvent("paste", { clipboardData: data, cancelable: true }));
    });
    await page.locator(".composer .file", { hasText: "pasted.txt" }).waitFor();
    const binary = {
      name: "photo.png",
      mimeType: "image/png",
      buffer: Buffer.from([137, 80, 0, 1]),
    };
    await page.locator(".composer input[type=file]").setInputFiles(binary);
    await page.getByText("photo.png is not a text file in UTF-8.").waitFor();
    await page.getByRole("button", { name: "Remove pasted.txt" }).click();
    const huge = { name: "big.txt", mimeType: "text/plain", buffer: Buffer.alloc(2_000_000, 97) };
    await page.locator(".composer input[type=file]").setInputFiles(huge);
    await page.getByText("big.txt is larger than 1 MB").waitFor();
  });

  it("keeps two tabs the same, and finds, exports, imports and deletes conversations", async () => {
    const { page, context } = await open(at("chat"));
    const other = await openIn(context, at("chat"));
    await ask(page, "Say one");
    await untilEnded(page);
    await other.locator(".list-row", { hasText: "Say one" }).getByRole("link").click();
    await lastAnswer(other).getByText("first version").waitFor();
    await other.getByLabel("Search conversations").fill("FIRST version");
    await other.locator(".row-excerpt", { hasText: "first version" }).waitFor();
    await other.getByLabel("Search conversations").fill("nowhere");
    await other.getByText("No conversation has these words.").waitFor();
    await other.getByLabel("Search conversations").fill("");
    const saved = other.waitForEvent("download");
    await other.getByRole("button", { name: "Export all" }).click();
    const file = await readFile(await (await saved).path(), "utf8");
    await other.getByRole("button", { name: "Delete all conversations" }).click();
    await other
      .getByRole("dialog")
      .getByRole("button", { name: /Delete all/ })
      .click();
    await page.getByText("No conversations yet.").waitFor();
    const importer = page.getByLabel("Import", { exact: true });
    const given = (text: string) => ({
      ...{ name: "a.json", mimeType: "application/json" },
      buffer: Buffer.from(text),
    });
    await importer.setInputFiles(given("[]"));
    await page.getByText("This file holds no conversations of this console.").waitFor();
    await importer.setInputFiles(given(file));
    await page.locator(".list-row", { hasText: "Say one" }).getByRole("link").click();
    await lastAnswer(page).getByText("first version").waitFor();
  });

  it("draws a lone sample as a point, and says where there is none", async () => {
    const { page } = await open("about:blank", { colorScheme: "dark" });
    const sample = {
      ...{ atMs: Date.now(), tokensPerS: 8, ttftMeanMs: null, ttftP95Ms: null, running: 0 },
      ...{ interTokenMeanMs: null, interTokenP95Ms: null, waiting: 0, kvUse: null },
      ...{ prefixBytes: 0, prefixHitRate: null },
    };
    await page.route("**/admin/events", async (route) => {
      const { body } = await fetch(`${server.url}/admin/events`);
      const reader = body!.getReader();
      let text = "";
      for (const decoder = new TextDecoder(); !text.includes('"type":"snapshot"'); )
        text += decoder.decode((await reader.read()).value);
      await reader.cancel();
      const snapshot = text.slice(text.indexOf("event: snapshot"));
      const history = JSON.stringify({ type: "history", periodMs: 3000, samples: [sample] });
      await route.fulfill({
        contentType: "text/event-stream",
        body: `data: ${history}\n\n${snapshot.split("\n\n")[0]}\n\n`,
      });
    });
    await page.goto(at("live"));
    const chart = (title: string) => page.locator("figure.chart", { hasText: title });
    const nothing = "Nothing was measured in the last 15 minutes.";
    await chart("Time to first token").getByText(nothing).waitFor();
    expect(await chart("Throughput").getByText(nothing).count()).toBe(0);
    const drawn = await chart("Throughput")
      .locator("canvas")
      .evaluate((canvas: HTMLCanvasElement) => {
        const { data } = canvas.getContext("2d")!.getImageData(0, 0, canvas.width, canvas.height);
        // The first series of the dark theme: #9d92ff.
        let found = 0;
        for (let i = 0; i < data.length; i += 4)
          if (data[i] === 0x9d && data[i + 1] === 0x92 && data[i + 2] === 0xff) found++;
        return found;
      });
    expect(drawn).toBeGreaterThan(4);
  });

  it("is in nobody's frame", async () => {
    const { page } = await open(`${server.url}/health`);
    await page.setContent(`<iframe src="${server.url}/"></iframe>`);
    const frame = page.frames()[1]!;
    await frame.waitForLoadState();
    expect(await frame.locator("#console").count()).toBe(0);
  });

  describe.each([
    ["a desktop, light", { colorScheme: "light", viewport: { width: 1280, height: 860 } }],
    [
      "a phone, dark",
      { colorScheme: "dark", viewport: { width: 390, height: 780 }, hasTouch: true },
    ],
  ] as const)("on %s", (_, options) => {
    it("axe finds nothing in any view", async () => {
      const { page } = await open(at(""), options);
      await page.getByRole("heading", { name: "mlx-serving is running" }).waitFor();
      expect(await problemsIn(page)).toEqual([]);
      await page.goto(at("chat"));
      await ask(page, "Explain prefill and decode");
      await untilEnded(page);
      await page.locator("details.fold summary").click();
      expect(await problemsIn(page)).toEqual([]);
      await page.getByLabel("Settings").click();
      expect(await problemsIn(page)).toEqual([]);
      await page.keyboard.press("Escape");
      const isPhone = "hasTouch" in options;
      if (isPhone) {
        await page.getByRole("button", { name: "Menu" }).click();
        expect(await problemsIn(page)).toEqual([]);
      }
      await page.goto(at("live"));
      await page.locator("tr.ended a").first().waitFor();
      expect(await problemsIn(page)).toEqual([]);
      await page.locator("tr.ended a").first().click();
      await page.locator(".timeline li").first().waitFor();
      expect(await problemsIn(page)).toEqual([]);
    });
  });
});

/** What axe says of a page, in short: rule, and where. */
async function problemsIn(page: Page): Promise<string[]> {
  // Not by a script tag, which the page's policy forbids.
  await page.evaluate(axeCore.source);
  const problems = await page.evaluate(async () => {
    const axe = (globalThis as unknown as { axe: typeof axeCore }).axe;
    const { violations } = await axe.run(document);
    return violations.flatMap(({ id, nodes }) => nodes.map(({ html }) => `${id}: ${html}`));
  });
  return [...problems, ...(await tooWide(page))];
}

/** What is wider than the screen, and does not scroll. */
function tooWide(page: Page): Promise<string[]> {
  return page.evaluate(() => {
    const places = document.querySelectorAll("main, main > *, .chat > *, .messages, dialog[open]");
    return [...places]
      .filter(
        (place) =>
          place.scrollWidth > place.clientWidth || place.getBoundingClientRect().right > innerWidth,
      )
      .map((place) => `too wide: ${place.className || place.tagName}`);
  });
}
