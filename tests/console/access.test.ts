/** Keys, sessions, and a server that goes away: the console against servers in this process. */
import { afterEach, describe, expect, it } from "vitest";
import { fixedKeys, type KeySource } from "../../src-ts/keys/entry.js";
import { parseKeys } from "../../src-ts/keys/parse.js";
import { createServer, type ServingServer } from "../../src-ts/server/index.js";
import { hold, ScriptedEngine, say } from "../ts/support/scripted-engine.js";
import { executablePath, open, openIn, titled, useBrowser } from "./support/browser.js";
import { ask, composer, lastAnswer, untilEnded, untilGrown } from "./support/chat.js";
import { startLine } from "./support/line.js";

const key = "a-key-of-this-server";
const running: { server: ServingServer; engine: ScriptedEngine }[] = [];

async function serve(port = 0, apiKeys: string[] = [], keys?: KeySource, allowedHosts?: string[]) {
  const engine = new ScriptedEngine();
  const server = createServer({ engine, config: { port, apiKeys, keys, allowedHosts } });
  running.push({ server, engine });
  return { engine, server, ...(await server.listen()) };
}

async function endAll(): Promise<void> {
  for (const { server, engine } of running.splice(0)) {
    await server.close();
    await engine.close();
  }
}

describe.skipIf(executablePath === undefined)(titled("access"), () => {
  useBrowser();
  afterEach(endAll);

  it("lets a key that may not see what runs chat, and says so", async () => {
    const entries = parseKeys(`${key} admin=no\nroot admin=yes`).map(({ entry }) => entry);
    const source = { entries, mistake: undefined, readAt: undefined, onChange: () => {} };
    const { url } = await serve(0, [], source);
    const { page } = await open(`${url}/#/live`);
    await page.getByLabel("API key").fill(key);
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.getByText("This key may chat.").waitFor();
    await page.goto(`${url}/#/chat`);
    await ask(page, "Say hello");
    await untilEnded(page);
    await lastAnswer(page).getByText("Hello, wörld").waitFor();
  });

  it("asks for a key, refuses a wrong one, and keeps none", async () => {
    const { url } = await serve(0, [key]);
    const { page, context } = await open(`${url}/#/chat`);
    const field = page.getByLabel("API key");
    const submit = page.getByRole("button", { name: "Sign in" });
    await field.fill("wrong");
    await submit.click();
    await page.getByText("The server does not know this key.").waitFor();
    await field.fill("with a space");
    await submit.click();
    await page.getByText("A key has no spaces").waitFor();
    await field.fill(key);
    await submit.click();
    await ask(page, "Say hello");
    await untilEnded(page);
    await lastAnswer(page).getByText("Hello, wörld").waitFor();
    const kept = await page.evaluate(async () => {
      const databases = await indexedDB.databases();
      return JSON.stringify([
        { ...localStorage },
        { ...sessionStorage },
        document.cookie,
        databases,
      ]);
    });
    expect(kept).not.toContain(key);
    expect(kept).not.toContain("mlxs_");
    expect(await context.cookies()).toEqual([]);
    // A reload forgets the session, not the conversation.
    await page.reload();
    await field.fill(key);
    await submit.click();
    await lastAnswer(page).getByText("Hello, wörld").waitFor();
    await page.getByRole("button", { name: "Sign out" }).click();
    await field.waitFor();
  });

  it("asks again when its session has ended, and loses nothing of what was written", async () => {
    const first = await serve(0, [key]);
    const { page } = await open(`${first.url}/#/chat`);
    await page.getByLabel("API key").fill(key);
    await page.keyboard.press("Enter");
    await composer(page).fill("A thought that took long");
    await endAll();
    // Sessions end with their process.
    await serve(first.port, [key]);
    await page.goto(`${first.url}/#/live`);
    await page.getByText("Your session has ended.").waitFor();
    await page.getByLabel("API key").fill(key);
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: "Workers" }).waitFor();
    await page.goto(`${first.url}/#/chat`);
    expect(await composer(page).inputValue()).toBe("A thought that took long");
  });

  it("ends the live view with the key that it was opened with", async () => {
    let entries = fixedKeys([key, "another"]).entries;
    const changed: (() => void)[] = [];
    const source: KeySource = {
      get entries() {
        return entries;
      },
      mistake: undefined,
      readAt: undefined,
      onChange: (callback) => void changed.push(callback),
    };
    const { url } = await serve(0, [], source);
    const { page } = await open(`${url}/#/live`);
    await page.getByLabel("API key").fill(key);
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: "Workers" }).waitFor();
    entries = fixedKeys(["another"]).entries;
    for (const callback of changed) callback();
    // Nobody touches the page: its feed tells it.
    await page.getByText("Your session has ended.").waitFor();
  });

  it("comes back from an hour's sleep in which every connection has died without a word", async () => {
    const { engine, url: target } = await serve(0, [], undefined, ["*"]);
    await using line = await startLine(target);
    engine.script = (run) => {
      hold(run);
      run.emit("What was said before it slept, ");
    };
    const { page, context } = await open("about:blank");
    // Its clock goes on by itself, and can be put forward as a lid does it that was closed.
    await page.clock.install();
    await page.goto(`${line.url}/#/chat`);
    const live = await openIn(context, `${line.url}/#/live`);
    await live.getByRole("heading", { name: "Workers" }).waitFor();
    await ask(page, "Say hello");
    await untilGrown(page, 20);
    await live.locator("tr.running").waitFor();
    line.die();
    engine.runs[0]!.emit("and after it.");
    engine.runs[0]!.end({ kind: "stop" });
    await page.clock.fastForward("01:00:00");
    const answer = await untilEnded(page);
    await answer.getByText("What was said before it slept, and after it.").waitFor();
    await live.locator("tr.running").waitFor({ state: "detached" });
  });

  it("asks a server that has forgotten an answer again", async () => {
    const first = await serve();
    first.engine.script = (run) => {
      hold(run);
      run.emit("An answer that never comes to its end. ");
    };
    const { page } = await open(`${first.url}/#/chat`);
    await ask(page, "Say hello");
    await untilGrown(page, 20);
    await endAll();
    await page.getByText("The connection is lost").waitFor();
    const second = await serve(first.port);
    second.engine.script = say(["A whole answer."]);
    const answer = await untilEnded(page);
    await answer.getByText("A whole answer.").waitFor();
    await answer.getByText("was asked again").waitFor();
    expect(await answer.getByText("never comes").count()).toBe(0);
  });
});
