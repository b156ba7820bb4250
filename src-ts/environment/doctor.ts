/** What this machine has for serving models: asked of Node, of Python, of the cache. Changes nothing. */
import { execFile } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { z } from "zod";
import { pythonPath } from "../../setup/native/home.mjs";
import { findPython } from "../../setup/python.mjs";
import { NativeParts } from "../worker/figures.js";
import { type FamilyReport, familyOf } from "./families.js";
import { bytesAt } from "./model-files.js";
import {
  embeddedModelFolder,
  embeddedModelId,
  isEmbeddedModelReady,
  registeredModels,
} from "./models.js";
import { buildCommand } from "./native.js";
import { type PrefixFolderReport, prefixFolder } from "./prefix-folder.js";
import { describePython, packageRoot, SetupError } from "./python.js";

const askTimeoutMs = 60_000;

const reason = z.string().nullable();
const PythonReport = z.object({
  python: z.string(),
  versions: z.record(z.string(), z.string()),
  backend: z.enum(["metal", "cuda", "cpu"]).nullable(),
  device: z.string().nullable(),
  blas: z.object({ on: z.boolean(), name: z.string().nullable(), reason }),
  native: z.object({ on: z.boolean(), version: z.string().nullable(), reason }),
  mlx_ops: z.object({
    on: z.boolean(),
    version: z.string().nullable(),
    isa: z.string().nullable(),
    threads: z.int().nullable(),
    reason,
  }),
  parts: NativeParts,
  problem: z.string().nullable(),
});
type PythonReport = z.infer<typeof PythonReport>;

export interface DoctorReport {
  /** `origin`: the clone's environment, one in the cache, or one that the user names. */
  python: {
    path: string;
    version: string | null;
    origin: "clone" | "cache" | "named";
    /** Why it can't serve models; null: it can. */
    problem: string | null;
    /** It can, or will once the first start has made it. */
    usable: boolean;
  };
  /** Of mlx-serving, Node and the Python packages, by name. */
  versions: Record<string, string>;
  /** What models run on; null: nothing can be run. */
  backend: "metal" | "cuda" | "cpu" | null;
  /** Name of the processor or GPU. */
  device: string | null;
  /** Of the CPU's matrix products. `on`: it is the optimized one of ours; `name`: the library in use. */
  blas: { on: boolean; name: string | null; reason: string | null };
  /** krserve_native. `reason`: why it is off; null: it is on. */
  native: { on: boolean; version: string | null; reason: string | null };
  /** Which native parts a worker would use, by these variables. */
  parts: NativeParts;
  /** krserve_mlx_ops. `isa`: the instruction set that it uses. */
  mlx_ops: {
    on: boolean;
    version: string | null;
    isa: string | null;
    threads: number | null;
    reason: string | null;
  };
  /** Where computed prompts survive a server, by its variable; null: it names none. */
  prefix_cache_dir: PrefixFolderReport | null;
  /**
   * Models on this machine. `ready`: all files are there; `bytes`: what they take; `family`: how its like is
   * served, null where it can't be told.
   */
  models: {
    id: string;
    kind: "embedded" | "folder" | "hub" | "gguf";
    path: string;
    ready: boolean;
    bytes: number;
    family: FamilyReport | null;
  }[];
}

export async function examine(env: NodeJS.ProcessEnv = process.env): Promise<DoctorReport> {
  const { path, ready, origin } = describePython(env);
  const missing = ready ? undefined : await missingPython(origin, env);
  const answer = ready ? await askPython(path, env) : unanswered(missing ?? unmade);
  const usable = ready ? answer.problem === null : missing === undefined;
  const { python: version, problem } = answer;
  return {
    python: { path, version: version || null, origin, problem, usable },
    versions: { "mlx-serving": packageVersion(), node: process.versions.node, ...answer.versions },
    backend: answer.backend,
    device: answer.device,
    blas: answer.blas,
    native: answer.native,
    mlx_ops: answer.mlx_ops,
    parts: answer.parts,
    prefix_cache_dir: prefixFolder(env),
    models: listModels(env),
  };
}

/** What is known without Python's answer: nothing, and why. */
function unanswered(problem: string): PythonReport {
  const off = { on: false, version: null, reason: "Python doesn't answer" };
  return {
    python: "",
    versions: {},
    backend: null,
    device: null,
    blas: { on: false, name: null, reason: off.reason },
    native: off,
    mlx_ops: { ...off, isa: null, threads: null },
    parts: {},
    problem,
  };
}

const unmade = "the environment is not made yet; the first start of a server makes it";

/** Why no start will make the environment; undefined: one will. */
export async function missingPython(
  origin: DoctorReport["python"]["origin"],
  env: NodeJS.ProcessEnv,
): Promise<string | undefined> {
  if (origin === "named") return "MLX_SERVING_PYTHON_ENV names a folder that has no bin/python";
  try {
    await findPython({ env });
    return undefined;
  } catch (error) {
    if (error instanceof SetupError) return error.message;
    throw error;
  }
}

async function askPython(path: string, env: NodeJS.ProcessEnv): Promise<PythonReport> {
  try {
    const { stdout } = await promisify(execFile)(path, ["-m", "mlx_serving.doctor"], {
      env: {
        ...env,
        PYTHONPATH: pythonPath(env),
        PYTHONSAFEPATH: "1",
        KRSERVE_BUILD_COMMAND: buildCommand(),
      },
      timeout: askTimeoutMs,
    });
    return PythonReport.parse(JSON.parse(stdout));
  } catch (error) {
    return unanswered(`it doesn't answer: ${(error as Error).message.trim()}`);
  }
}

/** Models in the cache and registered ones. */
export function listModels(env: NodeJS.ProcessEnv = process.env): DoctorReport["models"] {
  const embedded = {
    id: embeddedModelId,
    kind: "embedded" as const,
    path: embeddedModelFolder(env),
  };
  return [embedded, ...registeredModels(env)].map(({ id, kind, path }) => {
    const ready = kind === "embedded" ? isEmbeddedModelReady(env) : existsSync(path);
    const bytes = existsSync(path) ? bytesAt(path) : 0;
    return { id, kind, path, ready, bytes, family: familyOf(path) };
  });
}

function packageVersion(): string {
  return JSON.parse(readFileSync(join(packageRoot, "package.json"), "utf8")).version;
}
