import { describe, expect, it } from "vitest";
import {
  isKeptExactly,
  numberBounds,
} from "../../../../../src-ts/server/submissions/schemas/numbers.js";

const whole = Number.MAX_SAFE_INTEGER;
const fraction = 999_999_999_999_999;

describe("bounds of numbers", () => {
  it("keep every number where readers have the same", () => {
    expect(numberBounds({}, false, [])).toEqual({ minimum: -fraction, maximum: fraction });
    expect(numberBounds({}, true, [])).toEqual({ minimum: -whole, maximum: whole });
    expect(numberBounds({ minimum: -1e308, maximum: 1e308 }, false, [])).toEqual({
      minimum: -fraction,
      maximum: fraction,
    });
    expect(numberBounds({ minimum: 0, maximum: 10 }, false, [])).toEqual({
      minimum: 0,
      maximum: 10,
    });
  });

  it("that exclude their own value leave as many digits as a double tells apart", () => {
    expect(numberBounds({ exclusiveMinimum: 0 }, false, [])).toMatchObject({
      maximum: 999_999_999,
      multipleOf: 1e-6,
    });
    expect(numberBounds({ exclusiveMinimum: 0, exclusiveMaximum: 1 }, false, [])).toMatchObject({
      multipleOf: 1e-9,
    });
    expect(numberBounds({ exclusiveMinimum: 0 }, true, [])).not.toHaveProperty("multipleOf");
  });

  it("multiples of a fraction end where doubles lose them", () => {
    expect(numberBounds({ multipleOf: 0.01 }, false, [])).toMatchObject({ maximum: 1e10 });
    expect(numberBounds({ multipleOf: 5 }, false, [])).toMatchObject({ maximum: fraction });
    expect(numberBounds({ multipleOf: 0.5 }, true, [])).toEqual(numberBounds({}, true, []));
  });

  it.each([
    [{ minimum: "a" }, "s.minimum must be a number"],
    [{ exclusiveMaximum: true }, "s.exclusiveMaximum must be a number"],
    [{ multipleOf: 0 }, "s.multipleOf must be above 0"],
    [{ multipleOf: 100_000 }, "s.multipleOf can't be enforced"],
    [{ multipleOf: 1e-12 }, "s.multipleOf can't be enforced"],
    [{ minimum: 3, maximum: 2 }, "s leaves no number"],
    [{ exclusiveMinimum: 3, maximum: 3 }, "s leaves no number"],
    [{ minimum: 1e15 }, "s leaves no number"],
  ])("%j is refused", (schema, message) => {
    expect(() => numberBounds(schema, false, ["s"])).toThrow(message);
  });

  it("of whole numbers need one between them", () => {
    expect(() => numberBounds({ minimum: 0.2, maximum: 0.8 }, true, ["s"])).toThrow("leaves no");
  });
});

it("numbers that a double holds are kept", () => {
  expect([0, -1.5, whole, 0.1].every(isKeptExactly)).toBe(true);
  expect([whole + 1, 1e21, -1e308].some(isKeptExactly)).toBe(false);
});
