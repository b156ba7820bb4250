/** Conversations are found by every word, in whatever message it stands. */
import { expect, it } from "vitest";
import {
  type Conversation,
  newConversation,
  withMessage,
} from "../../../../src-ts/console/chat/conversation.js";
import { search } from "../../../../src-ts/console/chat/search.js";

function about(title: string, text: string, updatedAt: number): Conversation {
  const message = { id: title, parent: null, role: "user" as const, at: 0, text, attachments: [] };
  return { ...withMessage(newConversation(0), message), title, updatedAt };
}

const all = [
  about("Weather", "Is it cold in Oslo in December, and does it snow there every year?", 1),
  about("Cooking", "How long do eggs boil?", 2),
];
const titles = (query: string) => search(all, query).map(({ conversation }) => conversation.title);

it("newest first, all of them without a query", () => {
  expect(titles("")).toEqual(["Cooking", "Weather"]);
  expect(titles("  ")).toEqual(["Cooking", "Weather"]);
});

it("by words of titles and messages, whatever their case", () => {
  expect(titles("WEATHER")).toEqual(["Weather"]);
  expect(titles("snow oslo")).toEqual(["Weather"]);
  expect(titles("eggs oslo")).toEqual([]);
  expect(search(all, "snow")[0]!.excerpt).toMatch(/^….*does it snow there.*$/);
});
