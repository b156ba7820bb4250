/**
 * Which native parts the servers of a run use, so that the whole suite runs with each: `on` (all parts),
 * `off`, or `broken` (they are there, but their libraries are cut short). E2E_NATIVE says it.
 */
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { environmentFolder } from "../../../setup/python.mjs";

export type NativeMode = "auto" | "on" | "off" | "broken";

export const nativeMode = (process.env.E2E_NATIVE ?? "auto") as NativeMode;

/** What is added to the environment of every server. */
export function nativeEnvironment(): Record<string, string> {
  if (nativeMode === "broken") return { MLX_SERVING_PYTHON_ENV: brokenEnvironment() };
  return nativeMode === "auto" ? {} : { MLX_SERVING_NATIVE: nativeMode };
}

let broken: string | undefined;

/** A Python environment like the real one, with half of each native library. Made once a process. */
export function brokenEnvironment(): string {
  if (broken !== undefined) return broken;
  const folder = mkdtempSync(join(tmpdir(), "mlx-serving-broken-"));
  process.once("exit", () => rmSync(folder, { recursive: true }));
  mirror(environmentFolder(), folder);
  broken = folder;
  return folder;
}

/** Links to everything, but copies of what is on the way to the native libraries. */
function mirror(source: string, target: string): void {
  mkdirSync(target, { recursive: true });
  for (const name of readdirSync(source)) {
    const [from, to] = [join(source, name), join(target, name)];
    if (isOnTheWay(name) && lstatSync(from).isDirectory()) mirror(from, to);
    else if (/^(lib)?krserve_.*\.so$/.test(name)) writeFileSync(to, firstHalf(from));
    else if (!existsSync(to)) symlinkSync(from, to);
  }
}

function isOnTheWay(name: string): boolean {
  return /^(lib|python3\.\d+|site-packages|krserve_blas)$/.test(name);
}

function firstHalf(file: string): Buffer {
  const content = readFileSync(file);
  return content.subarray(0, content.length / 2);
}
