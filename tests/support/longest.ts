/**
 * The test files that take longest, in the order in which they begin: by default the largest file begins first, and
 * these are not large. One that comes last leaves a core with nothing to do.
 */
export const longestFiles = [
  "tests/faults/worker.test.ts",
  "tests/faults/durability.test.ts",
  "tests/faults/model.test.ts",
  "tests/e2e/prefix-disk.test.ts",
  "tests/e2e/store.test.ts",
  "tests/ts/recorded-clients.test.ts",
  "tests/ts/cli/launch.test.ts",
] as const;
