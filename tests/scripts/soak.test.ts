/** The soak's own judgement: what it lets pass, and what it calls a broken promise. */
import { describe, expect, it } from "vitest";
import { Chance } from "../../scripts/lib/chance.mjs";
import { flawOf, judgeResponse } from "../../scripts/lib/soak/clients/judge.mjs";
import { Ledger } from "../../scripts/lib/soak/ledger.mjs";
import { parseCommandLine } from "../../scripts/lib/soak/options.mjs";

const output = (text: string) => [{ content: [{ type: "output_text", text }] }];
const response = (text: string, status = "incomplete", code?: string) => ({
  id: "resp_1",
  status,
  output: output(text),
  usage: { input_tokens: 3, output_tokens: text.length },
  error: code && { code },
});

describe("the events of a response", () => {
  const delta = (sequence_number: number, text: string) => ({
    type: "response.output_text.delta",
    sequence_number,
    delta: text,
  });
  const end = (sequence_number: number, text: string) => ({
    type: "response.incomplete",
    sequence_number,
    response: response(text),
  });

  it.each([
    ["nothing", [delta(0, "a"), delta(1, "b"), end(2, "ab")], undefined],
    ["a gap", [delta(0, "a"), end(2, "a")], /number 2/],
    ["a double", [delta(0, "a"), delta(0, "a"), end(1, "aa")], /number 0/],
    ["no end", [delta(0, "a")], /0 terminal/],
    ["two ends", [end(0, ""), end(1, "")], /2 terminal/],
    ["an event behind the end", [end(0, ""), delta(1, "a")], /after the terminal/],
    ["another text", [delta(0, "a"), end(1, "b")], /deltas are not the text/],
  ])("with %s", (_, events, flaw) => {
    if (flaw === undefined) expect(flawOf(events)).toBeUndefined();
    else expect(flawOf(events)).toMatch(flaw);
  });
});

describe("the end of a response", () => {
  const judged = (ended: object, more: object = {}) => {
    const ledger = new Ledger(() => {});
    const about = {
      kind: "k",
      task: { index: 0, prompt: "p", tokens: 3 },
      expected: { text: "abc", input: 3, output: 3 },
      store: true,
      since: performance.now(),
      context: () => ({}),
      ...more,
    };
    judgeResponse(ledger, about, ended);
    return { ledger, outcomes: Object.fromEntries(ledger.outcomes.get("k")!) };
  };

  it.each([
    ["as undisturbed", response("abc"), {}, "completed"],
    ["too short", response("ab"), {}, "BROKEN"],
    ["another text", response("abd"), {}, "BROKEN"],
    ["cancelled by its client", response("ab", "cancelled"), { mayCancel: true }, "cancelled"],
    ["cancelled by nobody", response("ab", "cancelled"), {}, "BROKEN"],
    [
      "late",
      response("a", "failed", "deadline_exceeded"),
      { mayExpire: true },
      "deadline exceeded",
    ],
    ["late without a deadline", response("a", "failed", "deadline_exceeded"), {}, "BROKEN"],
    ["failed and stored", response("a", "failed", "server_shutdown"), {}, "BROKEN"],
    [
      "failed without a drain",
      response("a", "failed", "server_shutdown"),
      { store: false },
      "BROKEN",
    ],
  ])("%s", (_, ended, more, outcome) => {
    const { outcomes, ledger } = judged(ended, more);
    expect(outcomes).toEqual({ [outcome]: 1 });
    expect(ledger.brokenCount).toBe(outcome === "BROKEN" ? 1 : 0);
  });
});

describe("an excuse", () => {
  const about = (since: number) => ({ excuse: "server", since, context: {} });

  it("is a fault of the right kind and time", () => {
    const ledger = new Ledger(() => {});
    const before = performance.now();
    ledger.fault("cut", "")();
    ledger.excusable("k", "lost", about(before));
    expect(ledger.brokenCount).toBe(1);
    ledger.fault("serverKill", "")();
    ledger.excusable("k", "lost", about(before));
    expect(ledger.brokenCount).toBe(1);
    ledger.excusable("k", "lost", about(performance.now() + 60_000));
    expect(ledger.brokenCount).toBe(2);
  });

  it("lasts as long as its fault does", () => {
    const ledger = new Ledger(() => {});
    ledger.fault("serverStop", "");
    ledger.excusable("k", "lost", about(performance.now() + 60_000));
    expect(ledger.brokenCount).toBe(0);
  });
});

describe("the command line", () => {
  it("is checked", () => {
    expect(parseCommandLine(["--kills", "3"])).toMatchObject({ kills: 3, engine: "fake" });
    expect(() => parseCommandLine(["--kills", "none"])).toThrow("--kills must be a number above 0");
    expect(() => parseCommandLine(["--engine", "gpt"])).toThrow("--engine is fake or mlx");
    expect(() => parseCommandLine(["--faults", "cut,flood"])).toThrow("There is no fault flood");
  });
});

it("the same seed draws the same", () => {
  const draws = (seed: number) => {
    const chance = new Chance(seed);
    return [chance.next(), chance.integer(1, 9), chance.pick(["a", "b"]), chance.fork().next()];
  };
  expect(draws(5)).toEqual(draws(5));
  expect(draws(5)).not.toEqual(draws(6));
});
