/** A Chromium for a file of tests, and a page of its own for each test. */
import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, onTestFinished } from "vitest";
import { findChromium } from "./chromium.mjs";

export const executablePath = findChromium();

/** The name of a suite, which says why where it is skipped. */
export const titled = (name: string): string =>
  executablePath === undefined
    ? `${name} (skipped: there is no Chromium here; install one, or name it in MLX_SERVING_CHROMIUM)`
    : name;

let browser: Browser;

export function useBrowser(): void {
  beforeAll(async () => {
    if (executablePath === undefined) return;
    // Chromium's own sandbox does not run as root.
    const args = process.getuid?.() === 0 ? ["--no-sandbox"] : [];
    browser = await chromium.launch({ executablePath, args });
  });
  afterAll(() => browser?.close());
}

export interface Opened {
  context: BrowserContext;
  page: Page;
  /** What went wrong in it: errors of scripts, and what its policy has blocked. */
  faults: string[];
}

type ContextOptions = Parameters<Browser["newContext"]>[0];

/** A page of a browser that has never been here. */
export async function open(url: string, options: ContextOptions = {}): Promise<Opened> {
  const context = await browser.newContext({ reducedMotion: "reduce", ...options });
  onTestFinished(() => context.close());
  const faults: string[] = [];
  return { context, page: await openIn(context, url, faults), faults };
}

/** One more tab of the same browser. */
export async function openIn(
  context: BrowserContext,
  url: string,
  faults: string[] = [],
): Promise<Page> {
  const page = await context.newPage();
  page.on("pageerror", (error) => faults.push(error.message));
  page.on("console", (message) => {
    // A refusal of the server's is the test's own affair.
    const isRefusal = message.text().includes("Failed to load resource");
    if (message.type() === "error" && !isRefusal) faults.push(message.text());
  });
  await page.goto(url);
  return page;
}
