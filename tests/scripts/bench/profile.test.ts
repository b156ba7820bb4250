/** A profile of our workers beside a load, by a stand-in for `perf`. */
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { measureScenario } from "../../../scripts/bench/measure.mjs";
import { Profiler, pageOf, sharesOf } from "../../../scripts/bench/profile.mjs";
import { scenarios } from "../../../scripts/bench/scenarios/index.mjs";
import { fakePeer, quiet, toolkit } from "./support.js";

const folder = mkdtempSync(join(tmpdir(), "profile-test-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const report = `
    61.20%  libops.so      [.] product(float const*, int)
     7.05%  [kernel]       [k] clear_page                  -      -            
     0.49%  libc.so.6      [.] memcpy
`;

/** Records until SIGINT, and reports what is above. */
const perf = join(folder, "perf");
writeFileSync(
  perf,
  `#!/bin/sh
if [ "$1" = report ]; then cat <<'END'
${report}
END
exit; fi
echo "$@" > ${folder}/asked
trap 'exit 0' INT
while :; do sleep 0.05; done
`,
);
chmodSync(perf, 0o755);

const scenario = scenarios.find(({ id }) => id === "prefill")!;
const measure = (profiler: Profiler) =>
  measureScenario({
    ...{ scenario, size: "tiny", rounds: 1, toolkit, say: quiet, sampleMs: 1, profiler },
    ...{ peers: [fakePeer("ours"), fakePeer("other")], signal: new AbortController().signal },
  } as unknown as Parameters<typeof measureScenario>[0]);

it("a report is read by its lines, and what is next to nothing left out", () => {
  const shares = sharesOf(report);
  expect(shares).toEqual([
    { share: 0.612, file: "libops.so", symbol: "product(float const*, int)" },
    { share: expect.closeTo(0.0705), file: "[kernel]", symbol: "clear_page" },
  ]);
  expect(pageOf({ title: "a load", lines: shares })).toContain(" 61.2 %  libops.so  product");
});

describe.runIf(process.platform === "linux")("a load", () => {
  const signal = new AbortController().signal;

  it("of ours has a file, and the figures that it has without", async () => {
    const result = await measure(new Profiler({ folder, signal, perf }));
    for (const { id, title, servers } of result.cases) {
      expect(readFileSync(join(folder, `${id}.txt`), "utf8")).toContain(title);
      expect(servers.ours!.reason).toBeUndefined();
      expect(servers.other!.reason).toBeUndefined();
    }
    const asked = readFileSync(join(folder, "asked"), "utf8");
    const [, pid] = /--pid (\d+)/.exec(asked)!;
    expect(Number(pid)).not.toBe(process.pid);
    expect(existsSync(`/proc/${pid}`)).toBe(true);
  });

  it("says what is missing where there is no such program", async () => {
    const result = await measure(new Profiler({ folder, signal, perf: join(folder, "none") }));
    for (const { servers } of result.cases) {
      expect(servers.ours!.reason).toContain("--profile needs Linux's perf");
      expect(servers.other!.reason).toBeUndefined();
    }
  });
});
