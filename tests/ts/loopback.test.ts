import { expect, it } from "vitest";
import { isLoopback } from "../../src-ts/loopback.js";

it("knows loopback addresses", () => {
  expect(["localhost", "127.0.0.1", "127.8.0.1", "::1", "[::1]"].every(isLoopback)).toBe(true);
  expect(["0.0.0.0", "::", "127.0.0.1.example.org", "example.org"].some(isLoopback)).toBe(false);
});
