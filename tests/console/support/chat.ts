/** What a person does in the chat, for tests. */
import type { Locator, Page } from "playwright-core";

export const composer = (page: Page): Locator => page.getByLabel("Message", { exact: true });
export const answers = (page: Page): Locator => page.getByRole("article", { name: "Assistant" });
export const lastAnswer = (page: Page): Locator => answers(page).last();
/** Of an answer, what the model said. */
export const said = (answer: Locator): Locator => answer.locator(":scope > .markdown");

export async function ask(page: Page, text: string): Promise<void> {
  await composer(page).fill(text);
  await composer(page).press("Enter");
}

/** Until the last answer has ended, in whatever way. */
export async function untilEnded(page: Page): Promise<Locator> {
  const answer = lastAnswer(page);
  await answer.locator(".message-foot").waitFor();
  return answer;
}

/** Until so many characters are there, of an answer that is still on its way. */
export async function untilGrown(page: Page, charsMin: number): Promise<void> {
  await page.waitForFunction(
    (min) =>
      (document.querySelector(".assistant:last-child .markdown")?.textContent ?? "").length >= min,
    charsMin,
  );
}
