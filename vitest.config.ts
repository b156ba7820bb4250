import { availableParallelism } from "node:os";
import { configDefaults, defineConfig } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";
import { longestFiles } from "./tests/support/longest.js";

const ignored = [...configDefaults.exclude, "tests/consumer/**"];
/** Their files load the whole server, and leave nothing behind: a process loads it once for all that it is given. */
const sharing = ["browser", "server", "client", "engine", "journal", "protocol"].map(
  (folder) => `tests/ts/${folder}/**/*.test.ts`,
);

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification) => {
      const index = longestFiles.findIndex((name) => moduleId.endsWith(`/${name}`));
      return index < 0 ? longestFiles.length : index;
    };
    return (await super.sort(files)).sort((a, b) => rank(a) - rank(b));
  }
}

export default defineConfig({
  test: {
    sequence: { sequencer: LongestFirst },
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
