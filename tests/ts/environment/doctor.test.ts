import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { environmentFolder } from "../../../scripts/lib/python.mjs";
import { render } from "../../../src-ts/cli/doctor.js";
import { type DoctorReport, examine } from "../../../src-ts/environment/doctor.js";

let folder: string;
let env: NodeJS.ProcessEnv;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "mlx-serving-doctor-"));
  env = {
    PATH: process.env.PATH,
    MLX_SERVING_CACHE: join(folder, "cache"),
    MLX_SERVING_PYTHON_ENV: folder,
  };
});
afterEach(() => rmSync(folder, { recursive: true }));

const answer = {
  python: "3.12.1",
  versions: { mlx: "1.2.3" },
  backend: "cpu",
  device: "a processor",
  blas: { on: true, name: "OpenBLAS (libx.so)", reason: null },
  native: { on: false, version: null, reason: "krserve_native is not built" },
  mlx_ops: { on: true, version: "1.0.0", isa: "avx2", threads: 4, reason: null },
  parts: {
    blas: { on: true, reason: null, applicable: true, missing: false },
    pool: { on: false, reason: "off by default", applicable: true, missing: false },
  },
  problem: null,
} as const;

/** An environment whose Python says this. */
function makePython(script: string): void {
  mkdirSync(join(folder, "bin"));
  writeFileSync(join(folder, "bin", "python"), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
}

const says = (text: unknown) => makePython(`cat <<'END'\n${JSON.stringify(text)}\nEND`);

describe("the report", () => {
  it("has Python's answer about native parts", async () => {
    says(answer);
    const { blas, native, mlx_ops, parts, python } = await examine(env);
    expect({ blas, native, mlx_ops, parts }).toEqual({
      parts: answer.parts,
      blas: answer.blas,
      native: answer.native,
      mlx_ops: answer.mlx_ops,
    });
    expect(python).toMatchObject({ version: "3.12.1", origin: "named", problem: null });
  });

  it("says that nothing is on where Python doesn't answer", async () => {
    const { python, backend, blas, native, mlx_ops } = await examine(env);
    expect(python.problem).toContain("not made yet");
    expect(backend).toBeNull();
    const reason = "Python doesn't answer";
    expect(blas).toEqual({ on: false, name: null, reason });
    expect(native).toEqual({ on: false, version: null, reason });
    expect(mlx_ops).toEqual({ on: false, version: null, isa: null, threads: null, reason });
  });

  it.each([
    ["fails", "echo broken >&2; exit 1"],
    ["says something else", "echo '{}'"],
  ])("says so when Python %s", async (_how, script) => {
    makePython(script);
    const { python, native } = await examine(env);
    expect(python.problem).toMatch(/^it doesn't answer: /);
    expect(native.on).toBe(false);
  });

  it("is of the parts that the variables ask for", async () => {
    const off = { MLX_SERVING_PYTHON_ENV: environmentFolder(), MLX_SERVING_NATIVE: "0" };
    const { native, mlx_ops } = await examine({ ...env, ...off });
    expect(native.reason).toBe("turned off by --native or MLX_SERVING_NATIVE");
    expect(mlx_ops.reason).toBe("turned off by --native or MLX_SERVING_NATIVE");
  });
});

describe("the table", () => {
  const { python, problem, ...rest } = answer;
  const report: DoctorReport = {
    ...rest,
    backend: "cpu",
    python: { path: "/python", version: python, origin: "named", problem },
    models: [],
  };
  const rowsOf = (changes: Partial<DoctorReport> = {}) =>
    render({ ...report, ...changes })
      .split("\n")
      .map((line) => line.split(/ {2,}/));

  it("says what is on with its version, and why something is off", () => {
    const rows = rowsOf();
    expect(rows).toContainEqual(["BLAS", "OpenBLAS (libx.so)"]);
    expect(rows).toContainEqual(["native", "off", "krserve_native is not built"]);
    expect(rows).toContainEqual(["mlx_ops", "on", "1.0.0", "avx2", "4 threads"]);
    expect(rows).toContainEqual(["parts on", "blas"]);
  });

  it("names the BLAS that is in use in place of ours, and why", () => {
    const blas = { on: false, name: "reference BLAS (libblas.so)", reason: "it is not built" };
    const native = { on: true, version: "1.0.0", reason: null };
    const rows = rowsOf({ blas, native });
    expect(rows).toContainEqual(["BLAS", "reference BLAS (libblas.so)", "it is not built"]);
    expect(rows).toContainEqual(["native", "on", "1.0.0"]);
  });
});
