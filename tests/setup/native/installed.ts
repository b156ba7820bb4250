/** An installed package in miniature: no sources of TypeScript, an environment in the cache, stand-ins for what compiles. */
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

const python = "lib/python3.13";
const packages = `${python}/site-packages`;

/** Each notes its call. cmake installs one library where it was told to when it configured. */
const programs = {
  "c++": "",
  make: "",
  "xcode-select": "",
  uv: 'case "$1" in --version) echo "uv 0.13.9" ;; esac',
  cmake: `
case "$1" in
  --version) echo "cmake version 3.25.1" ;;
  -S)
    into="$5"; for each in "$@"; do
      case "$each" in -DKR_INSTALL_DIR=*) into="\${each#-DKR_INSTALL_DIR=}" ;; esac
    done
    printf %s "$into" > "$4/into" ;;
  --build) echo "[ 50%] Building CXX object a.o" ;;
  --install)
    into="$(cat "$2/into")"; library="$into/lib$(basename "$2").so"
    mkdir -p "$into" && echo library > "$library" && echo "$library" > "$2/install_manifest.txt" ;;
esac`,
};

const driver = `
import { ensureNative } from "./setup/native/build.mjs";
const abort = new AbortController();
process.on("SIGTERM", () => abort.abort());
const details = [];
try {
  const detail = (text) => details.push(text);
  const results = await ensureNative({ signal: abort.signal, detail });
  process.stdout.write(JSON.stringify({ details, results }));
} catch (error) {
  process.stdout.write(JSON.stringify({ details, error: error.name }));
}`;

export interface Start {
  code: number | null;
  stderr: string;
  details: string[];
  /** Undefined: the set-up was interrupted. */
  results?: { id: string; reason: string | null }[];
  error?: string;
}

export class Installed {
  /** With what makes careless programs stumble. */
  readonly folder = mkdtempSync(join(tmpdir(), "mlx serving 'ü' "));
  readonly cache = join(this.folder, "my cache");
  readonly kept = join(this.cache, "native");
  private readonly bin = join(this.folder, "bin");
  private readonly log = join(this.folder, "calls");

  constructor() {
    cpSync("setup", join(this.folder, "setup"), { recursive: true });
    cpSync("native", join(this.folder, "native"), {
      recursive: true,
      filter: (path) => !/\/build(\/|$)/.test(path),
    });
    this.write("package.json", '{"version": "1.2.3"}');
    this.write("driver.mjs", driver);
    for (const name of ["python/pyproject.toml", "python/uv.lock"]) this.write(name, "");
    this.write("python/uv-pin.txt", "uv==0.13.9");
    this.makeEnvironment();
    for (const name of readdirSync(join(this.folder, "native/pins"))) this.havePin(name);
    for (const [name, body] of Object.entries(programs)) this.addProgram(name, body);
  }

  private get environment(): string {
    const hash = createHash("sha256").update("").digest("hex").slice(0, 16);
    return join("my cache/python", hash);
  }

  private makeEnvironment(): void {
    this.writeProgram(join(this.environment, "bin/python"), "exit 0");
    this.putMlx("0.32.4", "cp313-cp313-manylinux_2_35_x86_64");
  }

  /** As if another MLX, or one for another Python, had been installed in its place. */
  putMlx(version: string, tag: string): void {
    rmSync(join(this.folder, this.environment, packages), { recursive: true, force: true });
    for (const name of ["mlx", "mlx_cpu"])
      this.write(
        join(this.environment, packages, `${name}-${version}.dist-info/WHEEL`),
        `Tag: ${tag}\n`,
      );
  }

  private havePin(name: string): void {
    const pin = readFileSync(join(this.folder, "native/pins", name));
    const hash = createHash("sha256").update(pin).digest("hex").slice(0, 16);
    mkdirSync(join(this.cache, "tools", `${name.replace(".txt", "")}-${hash}`), {
      recursive: true,
    });
  }

  write(name: string, content: string): void {
    const path = join(this.folder, name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, content);
  }

  read(name: string): string {
    return readFileSync(join(this.folder, name), "utf8");
  }

  private writeProgram(name: string, body: string): void {
    this.write(name, `#!/bin/sh\n${body}\n`);
    chmodSync(join(this.folder, name), 0o755);
  }

  addProgram(name: string, body: string): void {
    const preamble = `echo "${name} $1" >> "$CALLS"
case "${name} $*" in
  "\${FAIL:-none}"*) echo "\${SAY:-it cannot go on}" >&2; exit 1 ;;
  "\${SLOW:-none}"*) echo "slow $$" >> "$CALLS"; exec sleep 60 ;;
esac
`;
    this.writeProgram(join("bin", name), preamble + body);
  }

  removeProgram(name: string): void {
    rmSync(join(this.bin, name));
  }

  /** The folders with builds, by version and what they are built from. */
  homes(): string[] {
    return existsSync(this.kept) ? readdirSync(this.kept).sort() : [];
  }

  start(env: Record<string, string> = {}) {
    const child = spawn(process.execPath, ["driver.mjs"], {
      cwd: this.folder,
      env: {
        PATH: this.path,
        MLX_SERVING_CACHE: this.cache,
        MLX_SERVING_ACCELERATOR: "cpu",
        CALLS: this.log,
        ...env,
      },
    });
    const said = { stdout: "", stderr: "" };
    for (const name of ["stdout", "stderr"] as const)
      child[name].setEncoding("utf8").on("data", (text) => {
        said[name] += text;
      });
    const finished = new Promise<Start>((resolve) => {
      child.once("close", (code) =>
        resolve({ code, stderr: said.stderr, ...JSON.parse(said.stdout || '{"details": []}') }),
      );
    });
    return { child, finished };
  }

  /** Without the machine's own compilers, but with what shell scripts need. */
  private get path(): string {
    const tools = join(this.folder, "tools");
    if (!existsSync(tools)) {
      for (const name of ["mkdir", "cat", "basename", "sleep"])
        this.writeProgram(join("tools", name), `PATH=/usr/bin:/bin exec ${name} "$@"`);
    }
    return `${this.bin}:${tools}`;
  }

  /** Calls so far, oldest first; then forgets them. */
  takeCalls(): string[] {
    if (!existsSync(this.log)) return [];
    const calls = readFileSync(this.log, "utf8").trim().split("\n");
    rmSync(this.log);
    return calls;
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

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}
