import { availableParallelism } from "node:os";
import { configDefaults, defineConfig } from "vitest/config";

const ignored = [...configDefaults.exclude, "tests/consumer/**"];
/** Their files load the whole server, and leave nothing behind: a process loads it once for all that it is given. */
const sharing = ["server", "client", "engine", "journal", "protocol"].map(
  (folder) => `tests/ts/${folder}/**/*.test.ts`,
);

export default defineConfig({
  test: {
    // Vitest leaves a core to its own process, which has next to nothing to do.
    maxWorkers: availableParallelism(),
    // Many tests start programs: generous, for a machine that does other things too.
    testTimeout: 60_000,
    hookTimeout: 60_000,
    projects: [
      {
        extends: true,
        test: { name: "sharing", isolate: false, include: sharing, exclude: ignored },
      },
      {
        extends: true,
        test: { name: "apart", include: ["tests/**/*.test.ts"], exclude: [...ignored, ...sharing] },
      },
    ],
  },
});
