/** `mlx-serving models`: which models this machine knows by id. */
import { spawn } from "node:child_process";
import { existsSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { Command } from "commander";
import { makeFolder } from "../../setup/folders.mjs";
import { modelsFolder } from "../../setup/paths.mjs";
import { ConfigError } from "../config.js";
import { type DoctorReport, listModels } from "../environment/doctor.js";
import { idOf, modelAt } from "../environment/model-files.js";
import {
  embeddedModelId,
  isHubId,
  type RegisteredModel,
  registerModel,
  unregisterModel,
} from "../environment/models.js";
import { ensurePython } from "../environment/python.js";
import { didYouMean } from "../nearest.js";
import { CommandError, exitCodes } from "./failure.js";
import { formatBytes, formatTable } from "./format.js";
import { askLine } from "./input.js";
import { interruptible } from "./interrupt.js";

export function modelsCommand(): Command {
  const models = new Command("models").description("Lists, adds and removes models.");
  models
    .command("list", { isDefault: true })
    .description("models on this machine")
    .option("--json", "one JSON array")
    .action(({ json }: { json?: boolean }) => list(Boolean(json)));
  models
    .command("add <model>")
    .description("registers a folder or a GGUF file, or downloads a hub id (owner/name)")
    .option(
      "--id <id>",
      "id to serve it under (default: the folder's or file's name, or the hub id)",
    )
    .action((model: string, { id }: { id?: string }) => add(model, id));
  models
    .command("remove <id>")
    .description("forgets a model, and deletes what was downloaded for it")
    .option("--yes", "deletes without asking")
    .action((id: string, { yes }: { yes?: boolean }) => remove(id, Boolean(yes)));
  return models.addHelpText(
    "after",
    "\nExamples:\n  mlx-serving models add ./my-model --id mine\n  mlx-serving serve --model mine",
  );
}

function list(json: boolean): void {
  const models = listModels();
  if (json) {
    process.stdout.write(`${JSON.stringify(models, undefined, 2)}\n`);
    return;
  }
  const rows = models.map(({ id, kind, ready, bytes, path }) => {
    const absent = kind === "embedded" ? "not fetched yet" : "missing";
    return [id, kind, ready ? formatBytes(bytes) : absent, path];
  });
  process.stdout.write(`${formatTable(rows)}\n`);
}

async function add(name: string, givenId: string | undefined): Promise<void> {
  if (name === embeddedModelId || givenId === embeddedModelId) {
    throw new ConfigError(`${embeddedModelId} is the embedded model; it needs no adding.`);
  }
  if (givenId !== undefined && !/^[\w.-]+(\/[\w.-]+)?$/.test(givenId)) {
    throw new ConfigError(
      `--id must be letters, digits and . _ - with at most one slash, not "${givenId}".`,
    );
  }
  const model = await addModel(name, givenId);
  process.stdout.write(`Added ${model.id}: mlx-serving serve --model ${model.id}\n`);
}

/** Registers what is here, or downloads it first. Throws ConfigError or CommandError. */
export async function addModel(name: string, givenId?: string): Promise<RegisteredModel> {
  const model = existsSync(name) ? localModel(name, givenId) : await hubModel(name, givenId);
  registerModel(model);
  return model;
}

function localModel(name: string, id: string | undefined): RegisteredModel {
  return { id: id ?? idOf(name), ...modelAt(name) };
}

async function hubModel(name: string, id: string | undefined): Promise<RegisteredModel> {
  if (!isHubId(name))
    throw new ConfigError(`${name} is neither a folder, a GGUF file nor a hub id (owner/name).`);
  const folder = name.replace("/", "--");
  const path = join(modelsFolder(), folder);
  if (!existsSync(path)) await download(name, join(modelsFolder(), `.draft-${folder}`), path);
  modelAt(path);
  return { id: id ?? name, kind: "hub", path };
}

/** The draft stays after a failure: the next try goes on with it. */
async function download(id: string, draft: string, path: string): Promise<void> {
  makeFolder(draft);
  await interruptible((signal) => fetchInto(draft, id, signal));
  rmSync(join(draft, ".cache"), { recursive: true, force: true });
  renameSync(draft, path);
}

async function fetchInto(draft: string, id: string, signal: AbortSignal): Promise<void> {
  const onProgress = (text: string) => process.stderr.write(`${text}\n`);
  const { python, packageDir } = await ensurePython({ signal, onProgress });
  const child = spawn(python, ["-m", "mlx_serving.models.download", "--id", id, "--out", draft], {
    // The downloader draws its own progress, and says why it fails.
    stdio: ["ignore", "pipe", "inherit"],
    signal,
    env: {
      ...process.env,
      PYTHONPATH: packageDir,
      PYTHONSAFEPATH: "1",
      ...(process.stderr.isTTY ? {} : { HF_HUB_DISABLE_PROGRESS_BARS: "1" }),
    },
  });
  let said = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    said += text;
  });
  const code = await new Promise<number>((done, fail) => {
    child.once("error", fail);
    child.once("close", (exitCode) => done(exitCode ?? exitCodes.runtime));
  });
  if (code !== 0) {
    const sentence = said.trim() || `The model ${id} could not be downloaded.`;
    throw new CommandError(sentence, code === 2 ? exitCodes.usage : exitCodes.runtime);
  }
}

async function remove(id: string, yes: boolean): Promise<void> {
  const models = listModels();
  const model = models.find((known) => known.id === id);
  if (model === undefined) {
    const question = didYouMean(
      id,
      models.map((known) => known.id),
    );
    throw new ConfigError(`There is no model ${id}; see mlx-serving models list.${question}`);
  }
  if (model.kind === "hub" || model.kind === "embedded") {
    if (!yes && existsSync(model.path)) await confirmDeletion(model);
    rmSync(model.path, { recursive: true, force: true });
  }
  if (model.kind !== "embedded") unregisterModel(id);
  const fate = {
    folder: `Forgot ${id}; its folder ${model.path} is untouched.`,
    gguf: `Forgot ${id}; its file ${model.path} is untouched.`,
    hub: `Removed ${id} and its ${formatBytes(model.bytes)}.`,
    embedded: `Removed the files of ${id}; they are fetched again when it is served.`,
  }[model.kind];
  process.stdout.write(`${fate}\n`);
}

/** Rejects unless somebody says yes. */
async function confirmDeletion({ id, path, bytes }: DoctorReport["models"][number]): Promise<void> {
  const what = `the ${formatBytes(bytes)} of ${id} in ${path}`;
  if (!process.stdin.isTTY || !process.stdout.isTTY) {
    throw new ConfigError(
      `This deletes ${what}: give --yes, since there is no terminal to ask on.`,
    );
  }
  const answer = await askLine(`Delete ${what}? [y/N] `, []);
  if (!/^y(es)?$/i.test(answer?.trim() ?? "")) throw new CommandError(`${id} was kept.`);
}
