/**
 * The pictures of docs/CONSOLE.md: every view, on a desktop and a phone, light and dark, by a Chromium of this machine.
 *
 *   node scripts/console-screenshots.mjs [FOLDER]     default: docs/console
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { chromium } from "playwright-core";
import { packageRoot } from "../setup/paths.mjs";
import { findChromium } from "../tests/console/support/chromium.mjs";
import { startFakeServer } from "./lib/fake-server.mjs";

const folder = resolve(process.argv[2] ?? join(packageRoot, "docs", "console"));
const executablePath = findChromium();
if (executablePath === undefined)
  throw new Error("There is no Chromium here; see docs/CONSOLE.md.");

const sizes = {
  desktop: { viewport: { width: 1280, height: 860 } },
  phone: { viewport: { width: 390, height: 780 }, isMobile: true, hasTouch: true },
};
const quality = 80;
/** Fifteen minutes are not waited for: what the charts need is written here. */
const busyMs = 45_000;

mkdirSync(folder, { recursive: true });
const server = await startFakeServer({
  flags: ["--workers", "2", "--max-batch", "8", "--fake-tokens-per-second", "40"],
});
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
try {
  const load = keepBusy(server.url);
  await new Promise((done) => setTimeout(done, busyMs));
  for (const [size, options] of Object.entries(sizes))
    for (const colorScheme of ["light", "dark"]) {
      const context = await browser.newContext({
        ...options,
        colorScheme,
        reducedMotion: "reduce",
      });
      await shootAll(await context.newPage(), `${size}-${colorScheme}`);
      await context.close();
    }
  load.stop();
} finally {
  await browser.close();
  await server.stop();
}

async function shootAll(page, name) {
  const shoot = (view) => save(page, `${view}-${name}`);
  await page.goto(server.url);
  await page.getByText("Ready").first().waitFor();
  await shoot("start");
  await page.goto(`${server.url}/#/chat`);
  await page.getByLabel("Message", { exact: true }).fill("Explain prefill and decode");
  await page.keyboard.press("Enter");
  await page.getByText("tokens/s").waitFor();
  await shoot("chat");
  await page.getByLabel("Settings").click();
  await shoot("settings");
  await page.keyboard.press("Escape");
  await page.goto(`${server.url}/#/live`);
  await page.locator(".worker").first().waitFor();
  await page.waitForTimeout(1_500);
  await shoot("live");
  await page
    .locator(".requests .divider")
    .evaluate((row) => row.scrollIntoView({ block: "center" }));
  await shoot("requests");
  await page.locator(".requests tr.ended a").first().click();
  await page.locator(".timeline li").first().waitFor();
  await shoot("timeline");
}

async function save(page, name) {
  const session = await page.context().newCDPSession(page);
  const { data } = await session.send("Page.captureScreenshot", { format: "webp", quality });
  writeFileSync(join(folder, `${name}.webp`), Buffer.from(data, "base64"));
  await session.detach();
}

/** Streams that come and go, some with long prompts, and a worker that dies now and then. */
function keepBusy(url) {
  let running = true;
  const one = async (i) => {
    for (let round = 0; running; round++) {
      const words = "word ".repeat(((i * 7 + round * 13) % 40) * 20 + 5);
      const input =
        round % 3 === 0 ? words : `Story ${i}. ${"The same beginning. ".repeat(40)} ${round}`;
      await fetch(`${url}/v1/responses`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ input, max_output_tokens: 60 + ((i * 31 + round * 17) % 200) }),
      })
        .then((answer) => answer.text())
        .catch(() => undefined);
    }
  };
  for (let i = 0; i < 14; i++) setTimeout(() => void one(i), i * 900);
  const kill = setInterval(() => {
    void fetch(`${url}/admin/workers/w2/kill`, { method: "POST" }).catch(() => undefined);
  }, 17_000);
  return {
    stop: () => {
      running = false;
      clearInterval(kill);
    },
  };
}
