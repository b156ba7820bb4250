import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { partsInUse } from "../../../setup/native/parts.mjs";
import { ensureNativeParts, type NativeWish } from "../../../src-ts/environment/native.js";

let root: string;
let env: NodeJS.ProcessEnv;
let notes: string[];
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "mlx-serving-native-"));
  const environment = join(root, "environment");
  mkdirSync(join(environment, "bin"), { recursive: true });
  writeFileSync(join(environment, "bin", "python"), "");
  const packages = join(environment, "lib", "python3.13", "site-packages");
  mkdirSync(join(packages, "mlx_cpu-0.32.4.dist-info"), { recursive: true });
  env = { PATH: root, MLX_SERVING_CACHE: root, MLX_SERVING_PYTHON_ENV: environment };
  notes = [];
});
afterEach(() => rmSync(root, { recursive: true }));

const wish: NativeWish = { native: "auto", nativeParts: undefined, noBuild: false, engine: "mlx" };
const ensure = (changes: Partial<NativeWish>) =>
  ensureNativeParts({ ...wish, ...changes }, { env, onNote: (text) => notes.push(text) });

describe("what a server will use", () => {
  it.each<[Partial<NativeWish>, string[]]>([
    [{}, ["krserve_blas", "krserve_mlx_ops"]],
    [{ native: "on" }, ["krserve_native", "krserve_blas", "krserve_mlx_ops"]],
    [{ native: "off" }, []],
    [{ native: "off", nativeParts: ["all"] }, []],
    [{ nativeParts: ["all"] }, ["krserve_native", "krserve_blas", "krserve_mlx_ops"]],
    [{ nativeParts: ["metrics"] }, ["krserve_native"]],
    [{ native: "on", nativeParts: ["products", "blocks"] }, ["krserve_mlx_ops"]],
    [{ nativeParts: ["kernels"] }, []],
    [{ engine: "fake" }, []],
    [{ engine: "fake", native: "on" }, ["krserve_native"]],
    [{ engine: "fake", nativeParts: ["all"] }, ["krserve_native"]],
  ])("with %j: %j", (changes, ids) => {
    expect(partsInUse({ ...wish, ...changes })).toEqual(ids);
  });

  it("by default is what python/mlx_serving/native/choice.py has by default", () => {
    const source = readFileSync("python/mlx_serving/native/choice.py", "utf8");
    const [, list = ""] = /DEFAULT_PARTS.*?\(\s*\((.*?)\)/s.exec(source) ?? [];
    const names = [...list.matchAll(/"(\w+)"/g)].map(([, name]) => name as "blas");
    expect(names).toContain("blas");
    expect(partsInUse({ ...wish, nativeParts: names })).toEqual(partsInUse(wish));
  });
});

describe.runIf(process.platform === "linux")("a start without native parts", () => {
  it("says why, its price and what to call, in one line", async () => {
    await ensure({ noBuild: true });
    expect(notes).toEqual([
      expect.stringMatching(/it is not built.*1\/34 .*1\/60 .*npx mlx-serving build-native$/),
    ]);
  });

  it("says why they could not be built", async () => {
    writeFileSync(join(root, "environment", "krserve_mlx_ops.failed"), "there is no compiler\n");
    await ensure({ noBuild: true });
    expect(notes).toEqual([expect.stringContaining("(there is no compiler)")]);
  });

  it.each<[string, Partial<NativeWish>]>([
    ["that wants none", { native: "off" }],
    ["that computes nothing", { engine: "fake" }],
    ["that wants others", { nativeParts: ["blas"] }],
  ])("%s says nothing", async (_, changes) => {
    await ensure({ ...changes, noBuild: true });
    expect(notes).toEqual([]);
  });

  it("says what docs/NATIVE.md has measured", () => {
    const table = readFileSync("docs/NATIVE.md", "utf8");
    expect(table).toMatch(/^\| 1 stream, tokens\/s .*\| 34 × /m);
    expect(table).toMatch(/^\| 16 streams, tokens\/s .*\| 60 × /m);
  });
});
