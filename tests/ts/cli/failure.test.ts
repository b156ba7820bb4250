import { expect, it } from "vitest";
import { reportFailure } from "../../../src-ts/cli/failure.js";
import { ConfigError } from "../../../src-ts/config.js";
import { ServingError } from "../../../src-ts/errors.js";

function report(error: unknown) {
  let text = "";
  const write = (part: string) => {
    text += part;
    return true;
  };
  const exitCode = reportFailure(error, { write } as unknown as NodeJS.WriteStream);
  return { exitCode, text };
}

const loadError = (code: string, message: string) =>
  new ServingError(message, { code, status: 503 });

it("takes a native part that is required and missing for a wrong usage, and says which", () => {
  const message = "model m: native part blas is required but off: krserve_blas is not built";
  expect(report(loadError("native_missing", message))).toEqual({
    exitCode: 2,
    text: `mlx-serving: ${message}\n`,
  });
});

it.each([
  ["model_not_found", 2],
  ["tokenizer_missing", 2],
  ["worker_broken", 1],
  ["out_of_memory", 1],
  ["memory_budget_exceeded", 2],
])("takes %s for exit code %i", (code, exitCode) => {
  expect(report(loadError(code, "why")).exitCode).toBe(exitCode);
});

it("takes a wrong option for a wrong usage", () => {
  expect(report(new ConfigError("--x must be y."))).toEqual({
    exitCode: 2,
    text: "mlx-serving: --x must be y.\n",
  });
});

it("says the end of a worker's traceback alone", () => {
  const trace = "model m: exit code 1: Traceback\n  File x\nImportError: no mlx";
  expect(report(loadError("worker_exited", trace)).text).toBe(
    "mlx-serving: model m: ImportError: no mlx\n",
  );
});
