import { availableParallelism } from "node:os";
import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["tests/**/*.test.ts"],
    exclude: ["**/node_modules/**", "tests/consumer/**"],
    // Vitest leaves a core to its own process, which has next to nothing to do.
    maxWorkers: availableParallelism(),
    // Many tests start programs: generous, for a machine that does other things too.
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
