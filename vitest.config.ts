import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["tests/**/*.test.ts"],
    exclude: ["**/node_modules/**", "tests/consumer/**"],
    // Many tests start programs: generous, for a machine that does other things too.
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
