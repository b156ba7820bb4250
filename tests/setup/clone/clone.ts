/** A clone in miniature, with programs in place of npm, Python and uv that note how they are called. */
import { spawn } from "node:child_process";
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

const compile = (file: string, content: string) =>
  `require("node:fs").mkdirSync(${JSON.stringify(dirname(file))}, { recursive: true });
   require("node:fs").writeFileSync(${JSON.stringify(file)}, ${JSON.stringify(content)});`;

const tools = {
  rescript: compile("src-res/Machine.res.mjs", "export {};"),
  tsc: compile("dist/src-ts/cli/main.js", "console.log(JSON.stringify(process.argv.slice(2)));"),
};

const bundledCommandLine = `import { cpSync } from "node:fs";
cpSync("dist/src-ts/cli", "dist/cli", { recursive: true });`;

const bundledConsole = `import { mkdirSync, writeFileSync } from "node:fs";
mkdirSync("dist/console", { recursive: true });
writeFileSync("dist/console/manifest.json", "{}");`;

/** The stand-ins; each notes its call, then does what SLOW and FAIL say about it. */
const programs = {
  npm: `
mkdir -p node_modules/.bin
printf %s '${tools.rescript}' > node_modules/.bin/rescript
printf %s '${tools.tsc}' > node_modules/.bin/tsc
rm -rf node_modules/clone-tests
case "$*" in
  *--workspaces=false*) packages= ;;
  *) mkdir node_modules/clone-tests; packages='"node_modules/test-tool":{"version":"1.0.0"}' ;;
esac
echo "{\\"packages\\":{$packages}}" > node_modules/.package-lock.json`,
  "python3.13": `
case "$1" in -c) echo "$0"; echo 3.13.1 ;; *) exit 1 ;; esac`,
  uv: `
case "$1" in
  --version) echo "uv 0.13.9" ;;
  cache) echo "$CLONE_BIN" ;;
  sync)
    mkdir -p "$UV_PROJECT_ENVIRONMENT/bin"
    cp "$CLONE_BIN/converter" "$UV_PROJECT_ENVIRONMENT/bin/python" ;;
  pip)
    while [ "$1" != --target ]; do shift; done
    mkdir -p "$2/model" && echo weights > "$2/model/m.gguf" ;;
esac`,
  "c++": "",
  make: "",
  cmake: `
case "$1" in --version) echo "cmake version 3.25.1" ;; esac`,
  converter: `
while [ "$1" != --out ]; do [ $# -gt 0 ] || exit 0; shift; done
mkdir -p "$2" && echo '{}' > "$2/config.json"`,
};

export interface Finished {
  code: number | null;
  stdout: string;
  stderr: string;
}

export class Clone {
  readonly folder = mkdtempSync(join(tmpdir(), "mlx-serving-clone-"));
  readonly cache = join(this.folder, "cache");
  readonly model = join(this.cache, "models", "smollm2-135m-instruct");
  private readonly bin = join(this.folder, "bin");
  private readonly log = join(this.folder, "calls");

  constructor() {
    cpSync("setup", join(this.folder, "setup"), { recursive: true });
    for (const [name, content] of Object.entries({
      "package.json": "{}",
      "package-lock.json": '{"packages":{"":{},"node_modules/test-tool":{"version":"1.0.0"}}}',
      "tests/package.json": '{"name":"clone-tests"}',
      "rescript.json": "{}",
      "tsconfig.json": "{}",
      "src-res/Machine.res": "let x = 1",
      "src-ts/index.ts": "export {};",
      "src-ts/client/index.ts": "export {};",
      "src-ts/console/main.tsx": "export {};",
      "scripts/build-command-line.mjs": bundledCommandLine,
      "scripts/build-console.mjs": bundledConsole,
      "scripts/lib/command-line.mjs": "export {};",
      "scripts/lib/console.mjs": "export {};",
      "scripts/bundle-telemetry.mjs": "export {};",
      "scripts/lib/telemetry.mjs": "export {};",
      "python/pyproject.toml": "",
      "python/uv.lock": "",
      "python/uv-pin.txt": "uv==0.13.9",
      "python/embedded-model.txt": "model==1",
      "python/mlx_serving/models/embedded.py": "LAYOUT: Final = 1\n",
      "native/CMakeLists.txt": "",
      "native/pins/pybind11.txt": "pybind11==1",
    })) {
      this.write(name, content);
    }
    mkdirSync(this.bin);
    for (const [name, body] of Object.entries(programs)) this.addProgram(name, body);
  }

  write(name: string, content: string): void {
    const path = join(this.folder, name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, content);
  }

  private addProgram(name: string, body: string): void {
    const path = join(this.bin, name);
    const preamble = `#!/bin/sh
echo "${name} $*" >> "$CLONE_LOG"
case "${name} $*" in
  "\${FAIL:-none}"*) echo "${name} cannot go on" >&2; exit 1 ;;
  "\${SLOW:-none}"*) echo "slow $$" >> "$CLONE_LOG"; exec sleep 60 ;;
esac`;
    writeFileSync(path, preamble + body);
    chmodSync(path, 0o755);
  }

  /** Runs `setup/clone/main.mjs`. */
  setUp(args: readonly string[] = [], env: Record<string, string> = {}) {
    const child = spawn(process.execPath, ["setup/clone/main.mjs", ...args], {
      cwd: this.folder,
      env: {
        PATH: `${this.bin}:/usr/bin:/bin`,
        MLX_SERVING_CACHE: this.cache,
        MLX_SERVING_ACCELERATOR: "cpu",
        CLONE_LOG: this.log,
        CLONE_BIN: this.bin,
        ...env,
      },
      stdio: ["ignore", "pipe", "pipe"],
    });
    const result: Finished = { code: null, stdout: "", stderr: "" };
    child.stdout.setEncoding("utf8").on("data", (text) => {
      result.stdout += text;
    });
    child.stderr.setEncoding("utf8").on("data", (text) => {
      result.stderr += text;
    });
    const finished = new Promise<Finished>((resolve) => {
      child.once("close", (code) => resolve({ ...result, code }));
    });
    return { child, finished };
  }

  /** Calls so far, oldest first, those that only look at something left out; then forgets them. */
  takeCalls(): string[] {
    if (!existsSync(this.log)) return [];
    const calls = readFileSync(this.log, "utf8").trim().split("\n");
    rmSync(this.log);
    return calls.filter(
      (call) => !/^(python|slow|uv --version|uv cache|cmake --version)/.test(call),
    );
  }

  /** Process id of the slow program, once it runs. */
  async slowPid(): Promise<number> {
    for (;;) {
      const calls = existsSync(this.log) ? readFileSync(this.log, "utf8") : "";
      const pid = /^slow (\d+)$/m.exec(calls)?.[1];
      if (pid !== undefined) return Number(pid);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  has(name: string): boolean {
    return existsSync(join(this.folder, name));
  }

  remove(): void {
    rmSync(this.folder, { recursive: true });
  }
}
