import { describe, expect, it } from "vitest";
import { obey, saidIn, type Talk } from "../../../src-ts/cli/chat-commands.js";

function talking() {
  let cleared = 0;
  const talk: Talk = {
    options: {
      ...{ model: undefined, instructions: undefined },
      ...{ maxOutputTokens: undefined, temperature: undefined },
    },
    clear: () => cleared++,
    models: async () => ["one", "org/two"],
  };
  return {
    talk,
    cleared: () => cleared,
    say: async (line: string) => (await obey(line, talk)).text,
  };
}

describe("a line", () => {
  it.each([
    ["hello", "hello"],
    ["//usr is a folder", "/usr is a folder"],
    ["a /help", "a /help"],
    ["/help", undefined],
    ["  /bye", undefined],
    ["/", undefined],
  ])("%s is said or obeyed", (line, said) => {
    expect(saidIn(line)).toBe(said);
  });
});

describe("a command", () => {
  it("helps, forgets and leaves", async () => {
    const { talk, say, cleared } = talking();
    for (const name of ["/clear", "/model", "/set", "/bye"])
      expect(await say("/help")).toContain(name);
    expect([await say(" /clear "), cleared()]).toEqual(["Forgotten.", 1]);
    expect(await obey("/bye", talk)).toEqual({ text: "", leaves: true });
    for (const unknown of ["/help me", "/"])
      expect((await obey(unknown, talk)).leaves).toBeUndefined();
    expect(await say("/nonsense 1")).toBe("There is no command /nonsense; /help lists them.");
  });

  it("chooses among the server's models", async () => {
    const { talk, say } = talking();
    expect(await say("/model")).toBe("one\norg/two");
    expect(await say("/model three")).toBe("There is no model three; there is one, org/two.");
    expect(talk.options.model).toBeUndefined();
    expect(await say("/model org/two")).toBe("Asks org/two.");
    expect(talk.options.model).toBe("org/two");
    expect(await say("/model")).toContain("org/two *");
  });

  it("sets what answers are asked with, and takes it back", async () => {
    const { talk, say } = talking();
    expect(await say("/set")).toBe(
      "instructions  none\nmax-tokens    the server's\ntemperature   the model's",
    );
    await say("/set temperature 0.5");
    await say("/set max-tokens 100");
    expect(await say("/set instructions Answer in  rhymes.")).toContain("Answer in  rhymes.");
    expect(talk.options).toMatchObject({
      ...{ temperature: 0.5, maxOutputTokens: 100, instructions: "Answer in  rhymes." },
    });
    for (const name of ["temperature", "max-tokens", "instructions"]) await say(`/set ${name}`);
    expect(talk.options).toEqual(talking().talk.options);
  });

  it.each([
    ["/set temperature 3", 'temperature must be a number from 0 to 2, not "3".'],
    ["/set temperature hot", "must be a number"],
    ["/set max-tokens 0", "max-tokens must be a whole number from 1 on"],
    ["/set max-tokens 1.5", "whole number"],
    ["/set seed 1", "There is no setting seed; there are instructions, max-tokens, temperature."],
    ["/set constructor 1", "There is no setting constructor"],
  ])("%s says what is wrong and changes nothing", async (line, words) => {
    const { talk, say } = talking();
    expect(await say(line)).toContain(words);
    expect(talk.options).toEqual(talking().talk.options);
  });
});
