/** Trees of messages: what is shown, branches, and two copies that become one. */
import { describe, expect, it } from "vitest";
import {
  type Conversation,
  childrenOf,
  choosing,
  forkedAt,
  type Message,
  merged,
  newAnswer,
  newConversation,
  pathOf,
  withChanged,
  withMessage,
} from "../../../../src-ts/console/chat/conversation.js";

let at = 0;

function message(id: string, parent: string | null, role: Message["role"], text = id): Message {
  const answer = role === "assistant" ? { ...newAnswer(), status: "done" as const } : undefined;
  return { id, parent, role, at: ++at, text, attachments: [], answer };
}

/** A question with two answers, and a second version of the question with one. */
function branched(): Conversation {
  return [
    message("q1", null, "user", "Why?\nTell me."),
    message("a1", "q1", "assistant"),
    message("a2", "q1", "assistant"),
    message("q2", null, "user"),
    message("b1", "q2", "assistant"),
  ].reduce(withMessage, newConversation(0));
}

const ids = (conversation: Conversation) => pathOf(conversation).map(({ id }) => id);

describe("branches", () => {
  it("show the newest, or what was chosen", () => {
    const whole = branched();
    expect(ids(whole)).toEqual(["q2", "b1"]);
    expect(ids(choosing(whole, "q1"))).toEqual(["q1", "a2"]);
    expect(ids(choosing(choosing(whole, "q1"), "a1"))).toEqual(["q1", "a1"]);
    expect(childrenOf(whole, "q1").map(({ id }) => id)).toEqual(["a1", "a2"]);
    // A choice that names nothing is none.
    expect(ids({ ...whole, chosen: { "": "gone" } })).toEqual(["q2", "b1"]);
  });

  it("become a conversation of their own", () => {
    const whole = branched();
    const fork = forkedAt(whole, "a1", 99);
    expect(ids(fork)).toEqual(["q1", "a1"]);
    expect(fork.id).not.toBe(whole.id);
    expect(Object.keys(fork.messages)).toHaveLength(2);
  });

  it("are named by the first line that was asked", () => {
    expect(branched().title).toBe("Why?");
    const long = withMessage(newConversation(0), message("q", null, "user", "x".repeat(99)));
    expect(long.title).toHaveLength(60);
  });
});

describe("two copies", () => {
  it("lose no message of either", () => {
    const base = branched();
    const mine = withMessage(base, message("mine", "b1", "user"));
    const theirs = withMessage(base, message("theirs", "b1", "user"));
    const both = merged(theirs, mine);
    expect(Object.keys(both.messages)).toEqual(expect.arrayContaining(["mine", "theirs"]));
    expect(Object.keys(both.messages)).toHaveLength(7);
  });

  it("keep the answer that has come further", () => {
    const running = { ...newAnswer(), status: "streaming" as const };
    const base = withChanged(branched(), "b1", { text: "long text", answer: running });
    const shorter = withChanged(base, "b1", { text: "long" });
    const ended = withChanged(base, "b1", {
      text: "end",
      answer: { ...newAnswer(), status: "done" },
    });
    expect(merged(shorter, base).messages.b1!.text).toBe("long text");
    expect(merged(base, shorter).messages.b1!.text).toBe("long text");
    expect(merged(ended, base).messages.b1!.text).toBe("end");
    expect(merged(base, ended).messages.b1!.text).toBe("end");
  });
});
