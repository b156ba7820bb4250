import { createHash } from "node:crypto";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { buildNative, isNativeSettled } from "../../../setup/native/build.mjs";
import { failureLines, reasonOf } from "../../../setup/native/reasons.mjs";
import { SetupError } from "../../../setup/process.mjs";

const pins = join(import.meta.dirname, "..", "..", "..", "native", "pins");

let root: string;
let env: NodeJS.ProcessEnv;
const at = (...path: string[]) => join(root, ...path);

/** A machine with nothing but a Python environment, and the pinned headers in the cache. */
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "mlx-serving-native-"));
  env = {
    PATH: at("bin"),
    MLX_SERVING_CACHE: at("cache"),
    MLX_SERVING_PYTHON_ENV: at("environment"),
  };
  program("environment/bin/python", "exit 0");
  for (const name of ["pybind11", "openblas", "nanobind"]) {
    const pin = readFileSync(join(pins, `${name}.txt`));
    const hash = createHash("sha256").update(pin).digest("hex").slice(0, 16);
    mkdirSync(at("cache", "tools", `${name}-${hash}`), { recursive: true });
  }
});
afterEach(() => rmSync(root, { recursive: true }));

function program(path: string, script: string) {
  mkdirSync(join(at(path), ".."), { recursive: true });
  writeFileSync(at(path), `#!/bin/sh\n${script}\n`);
  chmodSync(at(path), 0o755);
}

function tools(cmake: string) {
  program("bin/make", "exit 0");
  program("bin/c++", "exit 0");
  program("bin/xcode-select", "exit 0");
  program("bin/cmake", `case "$1" in --version) echo "cmake version 3.25.1";; ${cmake} esac`);
}

const build = (options = {}) => buildNative({ env, build: at("build"), ...options });

async function failure() {
  const [{ reason } = { reason: null }] = await build();
  if (reason === null) throw new Error("it was built");
  return reason;
}

describe("building", () => {
  it("says that there is no compiler, and remembers it until there is one", async () => {
    expect(isNativeSettled(env)).toBe(false);
    const reason = await failure();
    expect(reason).toMatch(/^there is no C\+\+ compiler/);
    expect(readFileSync(at("environment", "krserve_native.failed"), "utf8")).toBe(`${reason}\n`);
    expect(isNativeSettled(env)).toBe(true);
    program("bin/c++", "exit 0");
    expect(isNativeSettled(env)).toBe(false);
  });

  it("says that there is no environment", async () => {
    rmSync(at("environment"), { recursive: true });
    expect(await failure()).toBe("there is no Python environment yet (npm start)");
    expect(existsSync(at("environment"))).toBe(false);
  });

  it("says what CMake said", async () => {
    tools(`*) cat ${at("said")}; exit 1;;`);
    program("bin/cat", 'while read -r line; do echo "$line"; done < "$1"');
    writeFileSync(at("said"), "CMake Error: The source directory does not exist.\n");
    expect(await failure()).toContain("The source directory does not exist.");
  });

  it("says why a module that was built can't be loaded", async () => {
    tools("*) exit 0;;");
    program("environment/bin/python", 'echo "krserve_native is damaged"');
    expect(await failure()).toBe("krserve_native is damaged");
  });

  it("leaves no precompiled headers behind", async () => {
    tools(`--build) echo header > "$2/all.hxx.gch"; echo object > "$2/one.o";;`);
    await build();
    const left = readdirSync(at("build"), { recursive: true }).map(String);
    expect(left.filter((name) => name.endsWith(".gch"))).toEqual([]);
    expect(left.filter((name) => name.endsWith(".o"))).toHaveLength(1);
  });

  it("is settled once built, and forgets the failure before", async () => {
    await failure();
    tools("*) exit 0;;");
    expect(await build()).toEqual([{ id: "krserve_native", reason: null }]);
    expect(isNativeSettled(env)).toBe(true);
    expect(existsSync(at("environment", "krserve_native.failed"))).toBe(false);
  });

  it("is to be done again when what it installed is gone or cut short", async () => {
    tools(
      `--install) echo library > ${at("library")}; echo ${at("library")} > "$2/install_manifest.txt";;`,
    );
    await build();
    expect(isNativeSettled(env)).toBe(true);
    writeFileSync(at("library"), "lib");
    expect(isNativeSettled(env)).toBe(false);
    await build();
    expect(isNativeSettled(env)).toBe(true);
    rmSync(at("library"));
    expect(isNativeSettled(env)).toBe(false);
  });

  it("with the tests is more than without", async () => {
    tools("*) exit 0;;");
    await build();
    expect(isNativeSettled(env, { tests: true })).toBe(false);
    await build({ tests: true });
    expect(isNativeSettled(env, { tests: true })).toBe(true);
    expect(isNativeSettled(env)).toBe(true);
  });

  it.runIf(process.platform === "linux")(
    "is of the parts for MLX too where it computes on the CPU, each by itself",
    async () => {
      mkdirSync(at("environment/lib/python3.13/site-packages/mlx_cpu-1.dist-info"), {
        recursive: true,
      });
      tools('-S) case "$2" in *mlx_ops) echo "a.cpp:1:1: error: no"; exit 1;; esac;;');
      expect(await build()).toEqual([
        { id: "krserve_native", reason: null },
        { id: "krserve_blas", reason: null },
        { id: "krserve_mlx_ops", reason: "a.cpp:1:1: error: no" },
      ]);
      expect(existsSync(at("environment", "krserve_mlx_ops.failed"))).toBe(true);
      expect(isNativeSettled(env)).toBe(true);
    },
  );

  it("ends with the signal", async () => {
    tools("*) while :; do :; done;;");
    const signal = AbortSignal.timeout(200);
    await expect(buildNative({ env, build: at("build"), signal })).rejects.toThrow();
    expect(existsSync(at("environment", "krserve_native.failed"))).toBe(false);
  });
});

it("hands every file name to CMake's commands as it is, with blanks and brackets", () => {
  const lists = readdirSync(join(pins, ".."), { recursive: true, encoding: "utf8" }).filter(
    (name) => name.endsWith("CMakeLists.txt"),
  );
  const commands = lists.flatMap((name) =>
    [...readFileSync(join(pins, "..", name), "utf8").matchAll(/^add_custom_\w+\([^)]*\)/gm)].map(
      ([command]) => command,
    ),
  );
  expect(commands.length).toBeGreaterThan(0);
  for (const command of commands) expect(command).toContain("VERBATIM");
});

describe("the reason", () => {
  const reason = (...tail: string[]) => reasonOf(new SetupError("cmake failed.", { tail }));

  it("is CMake's message, unwrapped", () => {
    expect(
      reason(
        "-- Found Threads: TRUE",
        "CMake Error at CMakeLists.txt:88 (message):",
        "  krserve_native needs the headers of /some/python (Debian:",
        "  python3-dev)",
        "-- Configuring incomplete, errors occurred!",
      ),
    ).toBe("krserve_native needs the headers of /some/python (Debian: python3-dev)");
  });

  it("is the compiler's first error", () => {
    expect(
      reason("a.cpp: In function 'f':", "a.cpp:3:1: error: no", "make: *** [all] Error 2"),
    ).toBe("a.cpp:3:1: error: no");
  });

  it("is our own sentence where the output says nothing", () => {
    expect(reason("some output")).toBe("cmake failed.");
    expect(reasonOf(new Error("first\nsecond"))).toBe("first");
  });
});

it("failures are lines, one for each reason", () => {
  const results = [
    { id: "a", reason: "no compiler" },
    { id: "b", reason: null },
    { id: "c", reason: "no compiler" },
    { id: "d", reason: "no header" },
  ];
  expect(failureLines(results)).toEqual([
    "Not built: a, c: no compiler",
    "Not built: d: no header",
  ]);
});
