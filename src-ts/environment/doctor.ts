/** What this machine has for serving models: asked of Node, of Python, of the cache. Changes nothing. */
import { execFile } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { z } from "zod";
import {
  embeddedModelFolder,
  embeddedModelId,
  folderBytes,
  isEmbeddedModelReady,
  registeredModels,
} from "./models.js";
import { describePython, packageRoot, pythonProject } from "./python.js";

const askTimeoutMs = 60_000;

const PythonReport = z.object({
  python: z.string(),
  versions: z.record(z.string(), z.string()),
  backend: z.enum(["metal", "cuda", "cpu"]).nullable(),
  device: z.string().nullable(),
  blas: z.string().nullable(),
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
  };
  /** Of mlx-serving, Node and the Python packages, by name. */
  versions: Record<string, string>;
  /** What models run on; null: nothing can be run. */
  backend: "metal" | "cuda" | "cpu" | null;
  /** Name of the processor or GPU. */
  device: string | null;
  /** Library of the CPU's matrix products. */
  blas: string | null;
  native: { on: boolean; version: string | null; reason: string };
  mlx_ops: { on: boolean; isa: string | null; reason: string };
  /** Models on this machine. `ready`: all files are there; `bytes`: what they take. */
  models: {
    id: string;
    kind: "embedded" | "folder" | "hub";
    path: string;
    ready: boolean;
    bytes: number;
  }[];
}

const notBuilt = "not part of this version";

export async function examine(env: NodeJS.ProcessEnv = process.env): Promise<DoctorReport> {
  const { path, ready, origin } = describePython(env);
  const answer = ready ? await askPython(path, env) : unmade;
  return {
    python: { path, version: answer.python || null, origin, problem: answer.problem },
    versions: { "mlx-serving": packageVersion(), node: process.versions.node, ...answer.versions },
    backend: answer.backend,
    device: answer.device,
    blas: answer.blas,
    native: { on: false, version: null, reason: notBuilt },
    mlx_ops: { on: false, isa: null, reason: notBuilt },
    models: listModels(env),
  };
}

const nothing = { python: "", versions: {}, backend: null, device: null, blas: null };
const unmade: PythonReport = {
  ...nothing,
  problem: "the environment is not made yet; the first start of a server makes it",
};

async function askPython(path: string, env: NodeJS.ProcessEnv): Promise<PythonReport> {
  try {
    const { stdout } = await promisify(execFile)(path, ["-m", "mlx_serving.doctor"], {
      env: { ...env, PYTHONPATH: pythonProject },
      timeout: askTimeoutMs,
    });
    return PythonReport.parse(JSON.parse(stdout));
  } catch (error) {
    return { ...nothing, problem: `it doesn't answer: ${(error as Error).message.trim()}` };
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
    return { id, kind, path, ready, bytes: existsSync(path) ? folderBytes(path) : 0 };
  });
}

function packageVersion(): string {
  return JSON.parse(readFileSync(join(packageRoot, "package.json"), "utf8")).version;
}
