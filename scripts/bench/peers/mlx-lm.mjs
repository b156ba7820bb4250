/** `mlx_lm.server` of the environment that our workers run on. */
import { existsSync } from "node:fs";
import { pythonProject } from "../../../setup/paths.mjs";
import { run } from "../../../setup/process.mjs";
import { environmentFolder, interpreterOf } from "../../../setup/python.mjs";
import { ensureFloatModel } from "../../lib/float-model.mjs";
import { startProcess, Unavailable } from "./process.mjs";

/** MLX's own arithmetic on a CPU under Linux makes some 7 tokens a second. */
const isSlow = process.platform === "linux" && !existsSync("/dev/nvidiactl");
const rowsMin = 32;
const version = "from importlib.metadata import version; print(version('mlx-lm'))";
/** The module as a program, after the shim is loaded; or the reason why there is none. */
const withBlas = [
  "import runpy, sys",
  "from mlx_serving.fast import blas",
  "found = blas.load()",
  "if not found['on']: sys.exit(found['reason'])",
  "sys.argv[0] = 'mlx_lm.server'",
  "runpy.run_module('mlx_lm.server', run_name='__main__')",
].join("\n");

const python = () => interpreterOf(environmentFolder());

/**
 * @param {{ id: string, title: string, folder: (signal: AbortSignal) => Promise<string> | string, blas?: boolean, slow?: boolean }} options
 * @returns {import("./index.mjs").Peer}
 */
function peer({ id, title, folder, blas = false, slow = isSlow }) {
  const program = blas ? ["-c", withBlas] : ["-m", "mlx_lm.server"];
  const env = blas
    ? { PYTHONPATH: pythonProject, MLX_SERVING_NATIVE: "auto", MLX_SERVING_NATIVE_PARTS: "blas" }
    : {};
  return {
    id,
    title,
    slow,
    command: `python -m mlx_lm.server --model FOLDER --decode-concurrency ${rowsMin}${blas ? ", with our BLAS loaded" : ""}`,
    version: async (signal) => (await run(python(), ["-c", version], { signal })).trim(),
    async start({ needs, signal }) {
      if (blas && process.platform !== "linux")
        throw new Unavailable(
          "the system has a fast BLAS: it would be the same as the stock server",
        );
      const model = await folder(signal);
      const rows = String(Math.max(rowsMin, needs.rows));
      const args = (port) => [
        ...program,
        ...["--model", model, "--host", "127.0.0.1", "--port", String(port)],
        ...["--decode-concurrency", rows, "--log-level", "WARNING"],
      ];
      return startProcess({ command: python(), args, env, health: "/health", signal });
    },
  };
}

/** @param {string} folder The model's. */
export const mlxLmPeers = (folder) => [
  peer({ id: "mlx-lm", title: "mlx_lm.server", folder: () => folder }),
  peer({ id: "mlx-lm-blas", title: "mlx_lm.server, our BLAS", folder: () => folder, blas: true }),
  peer({
    id: "mlx-lm-float",
    title: "mlx_lm.server, our BLAS, float32",
    // The best that stock MLX does on a CPU.
    folder: (signal) => ensureFloatModel(folder, { signal }),
    blas: true,
    slow: false,
  }),
];
