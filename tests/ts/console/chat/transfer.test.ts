/** Conversations as files: what is written can be read, and what can't be is refused with its place. */
import { describe, expect, it } from "vitest";
import {
  newAnswer,
  newConversation,
  withMessage,
} from "../../../../src-ts/console/chat/conversation.js";
import {
  asMarkdown,
  exported,
  ImportError,
  imported,
} from "../../../../src-ts/console/chat/transfer.js";

function conversation() {
  const first = { id: "q", parent: null, role: "user" as const, at: 1, text: "Why?" };
  const second = { id: "a", parent: "q", role: "assistant" as const, at: 2, text: "Because." };
  const asked = withMessage(newConversation(1), {
    ...first,
    attachments: [{ name: "f", text: "x" }],
  });
  return withMessage(asked, {
    ...second,
    attachments: [],
    answer: { ...newAnswer(), status: "done" },
  });
}

describe("a file", () => {
  it("brings back what was written", () => {
    const one = conversation();
    expect(imported(exported([one]))).toEqual([one]);
  });

  it("holds no answer that is still on its way", () => {
    const one = conversation();
    one.messages.a!.answer!.status = "streaming";
    expect(imported(exported([one]))[0]!.messages.a!.answer!.status).toBe("stopped");
  });

  it("can be read by people", () => {
    const text = asMarkdown(conversation(), { user: "You", assistant: "Assistant" });
    expect(text).toBe("# Why?\n\n## You\n\n- f\nWhy?\n\n## Assistant\n\nBecause.\n");
  });

  const broken = (change: (file: ReturnType<typeof parsed>) => void) => {
    const file = parsed();
    change(file);
    return JSON.stringify(file);
  };
  const parsed = () => JSON.parse(exported([conversation()]));

  it.each([
    ["no JSON", "{", "notJson", ""],
    ["a list", "[]", "otherFormat", ""],
    ["another format", '{"format": "x", "conversations": []}', "otherFormat", ""],
    ["a newer one", broken((file) => (file.version = 2)), "newerVersion", ""],
    [
      "a title that is none",
      broken((file) => (file.conversations[0].title = 3)),
      "wrongValue",
      "conversations[0].title",
    ],
    [
      "a role of nobody's",
      broken((file) => (file.conversations[0].messages.q.role = "x")),
      "wrongValue",
      "conversations[0].messages[0].role",
    ],
    [
      "a parent that is not there",
      broken((file) => (file.conversations[0].messages.a.parent = "z")),
      "wrongValue",
      "conversations[0].messages.a.parent",
    ],
    [
      "a circle",
      broken((file) => (file.conversations[0].messages.q.parent = "a")),
      "wrongValue",
      "conversations[0].messages.q.parent",
    ],
    [
      "calls that are none",
      broken((file) => (file.conversations[0].messages.a.answer.calls = 1)),
      "wrongValue",
      "conversations[0].messages[1].answer.calls",
    ],
  ])("of %s is refused", (_, text, problem, place) => {
    const error = (() => {
      try {
        return imported(text);
      } catch (thrown) {
        return thrown;
      }
    })();
    expect(error).toBeInstanceOf(ImportError);
    expect(error).toMatchObject({ problem, place });
  });
});
