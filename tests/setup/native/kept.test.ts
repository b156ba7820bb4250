/** What the first start of an installed package builds is kept, for exactly what it was built from. */
import { existsSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Installed, type Start } from "./installed.js";

let installed: Installed;
beforeEach(() => {
  installed = new Installed();
});
afterEach(() => installed.remove());

const start = (env?: Record<string, string>) => installed.start(env).finished;
const reasons = ({ results = [] }: Start) => [...new Set(results.map(({ reason }) => reason))];
const builds = () => installed.takeCalls().filter((call) => call === "cmake --build").length;
/** On Linux there are parts for MLX on the CPU too. */
const parts = process.platform === "linux" ? 3 : 1;
const home = () => join(installed.kept, installed.homes()[0]!);

describe("a first start", () => {
  it("builds, and tells what and how far", async () => {
    const { results, details, code, stderr } = await start();
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(results?.map(({ reason }) => reason)).toEqual(Array(parts).fill(null));
    expect(details).toContain(`1/${parts} krserve_native`);
    expect(details).toContain(`1/${parts} krserve_native 50 %`);
    expect(builds()).toBe(parts);
  });

  it("keeps what it built by version, and nothing else", async () => {
    await start();
    expect(installed.homes()).toEqual([expect.stringMatching(/^1\.2\.3-[0-9a-f]{16}$/)]);
    expect(readdirSync(home()).filter((name) => /^build|lock$/.test(name))).toEqual([]);
    expect(existsSync(join(home(), "libkrserve_native.so"))).toBe(true);
  });
});

describe("a later start", () => {
  it("finds it, and starts nothing", async () => {
    await start();
    installed.takeCalls();
    expect(reasons(await start())).toEqual([null]);
    expect(installed.takeCalls()).toEqual([]);
  });

  it.each<[string, () => void, () => void]>([
    [
      "another version",
      () => installed.write("package.json", '{"version": "1.3.0"}'),
      () => installed.write("package.json", '{"version": "1.2.3"}'),
    ],
    [
      "the same version with other sources",
      () => installed.write("native/src/utils.cpp", "int changed;"),
      () => installed.write("native/src/utils.cpp", before),
    ],
    [
      "another pin of what it is built with",
      () => installed.write("native/pins/pybind11.txt", "pybind11==9\n"),
      () => installed.write("native/pins/pybind11.txt", pin),
    ],
    [
      "another MLX",
      () => installed.putMlx("0.33.0", "cp313-cp313-manylinux_2_35_x86_64"),
      () => installed.putMlx("0.32.4", "cp313-cp313-manylinux_2_35_x86_64"),
    ],
    [
      "another Python",
      () => installed.putMlx("0.32.4", "cp314-cp314-manylinux_2_35_x86_64"),
      () => installed.putMlx("0.32.4", "cp313-cp313-manylinux_2_35_x86_64"),
    ],
    [
      "another kind of processor",
      () => installed.putMlx("0.32.4", "cp313-cp313-manylinux_2_35_aarch64"),
      () => installed.putMlx("0.32.4", "cp313-cp313-manylinux_2_35_x86_64"),
    ],
  ])("of %s builds its own, and a return finds the first again", async (_, change, back) => {
    before = installed.read("native/src/utils.cpp");
    pin = installed.read("native/pins/pybind11.txt");
    await start();
    installed.takeCalls();
    change();
    await start();
    expect(builds()).toBeGreaterThan(0);
    expect(installed.homes()).toHaveLength(2);
    back();
    expect(reasons(await start())).toEqual([null]);
    expect(installed.takeCalls()).toEqual([]);
  });
  let before: string;
  let pin: string;

  it.each<[string, (file: string) => void]>([
    ["gone", (file) => rmSync(file)],
    ["cut short", (file) => writeFileSync(file, "lib")],
  ])("builds again what is %s", async (_, damage) => {
    await start();
    installed.takeCalls();
    damage(join(home(), "libkrserve_native.so"));
    expect(reasons(await start())).toEqual([null]);
    expect(builds()).toBe(1);
  });

  it.each(["installed", "json"])("builds again where the note .%s is cut short", async (kind) => {
    await start();
    installed.takeCalls();
    writeFileSync(join(home(), `krserve_native.${kind}`), '{"');
    expect(reasons(await start())).toEqual([null]);
    expect(builds()).toBe(1);
  });
});

describe("a build that can't be", () => {
  it("for want of a compiler is a reason, tried again once there is one", async () => {
    installed.removeProgram("c++");
    const first = await start();
    expect(first.code).toBe(0);
    expect(reasons(first)).toEqual([expect.stringMatching(/^there is no C\+\+ compiler/)]);
    installed.takeCalls();
    expect(reasons(await start())).toEqual(reasons(first));
    expect(installed.takeCalls()).toEqual([]);
    installed.addProgram("c++", "");
    expect(reasons(await start())).toEqual([null]);
  });

  it("because of the sources is not tried again", async () => {
    const env = { FAIL: "cmake --build", SAY: "a.cpp:1:1: error: no" };
    expect(reasons(await start(env))).toEqual(["a.cpp:1:1: error: no"]);
    installed.takeCalls();
    expect(reasons(await start())).toEqual(["a.cpp:1:1: error: no"]);
    expect(installed.takeCalls()).toEqual([]);
  });

  it.each([
    ["the network", "uv", "uv pip", "no route", "its build tools could not be downloaded"],
    ["memory", "", "cmake --build", "c++: fatal error: Killed signal", "not enough memory"],
    ["the disk", "", "cmake --build", "a.o: No space left on device", "no room on the disk"],
  ])("because of %s is tried again in another hour", async (_, tool, fail, said, reason) => {
    if (tool !== "") rmSync(join(installed.cache, "tools"), { recursive: true });
    expect(reasons(await start({ FAIL: fail, SAY: said }))).toEqual([
      expect.stringContaining(reason),
    ]);
    installed.takeCalls();
    await start();
    expect(installed.takeCalls()).toEqual([]);
    for (const name of readdirSync(home()).filter((file) => file.endsWith(".json"))) {
      const path = join(home(), name);
      const stamp = JSON.parse(installed.read(path.slice(installed.folder.length)));
      writeFileSync(
        path,
        JSON.stringify({ ...stamp, key: stamp.key.replace(/ at .*/, " at 0 h") }),
      );
    }
    await start();
    expect(installed.takeCalls().length).toBeGreaterThan(0);
  });

  it("because nothing can be written there is a reason", async () => {
    installed.write("my cache/native", "a file");
    const { code, stderr, ...rest } = await start();
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(reasons({ code, stderr, ...rest })).toEqual([
      expect.stringMatching(/native\/\S+ can't be written \((EEXIST|ENOTDIR)\)/),
    ]);
  });

  it("where Python would not find it is a reason", async () => {
    symlinkSync(installed.cache, join(installed.folder, "a:b"));
    const started = await start({ MLX_SERVING_CACHE: join(installed.folder, "a:b") });
    expect(reasons(started)).toEqual([expect.stringMatching(/its path must have no “:” in it$/)]);
    expect(installed.takeCalls()).toEqual([]);
  });

  it("because its log can't be written is none", async () => {
    installed.write("my cache/logs", "a file");
    expect(reasons(await start())).toEqual([null]);
  });
});

describe("a build that ends early", () => {
  it.each(["SIGTERM", "SIGKILL"] as const)("by %s is made anew", async (signal) => {
    const run = installed.start({ SLOW: "cmake --build" });
    const pid = await installed.slowPid();
    run.child.kill(signal);
    const { error } = await run.finished;
    if (signal === "SIGTERM") expect(error).toBe("AbortError");
    else process.kill(pid, "SIGKILL");
    installed.takeCalls();
    expect(reasons(await start())).toEqual([null]);
    expect(builds()).toBe(parts);
    expect(readdirSync(home()).filter((name) => /^build|lock$/.test(name))).toEqual([]);
  });
});

it("two that start at once build once", async () => {
  const both = await Promise.all([start(), start()]);
  expect(both.flatMap(reasons)).toEqual([null, null]);
  expect(builds()).toBe(parts);
});
