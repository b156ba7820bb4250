/**
 * The compilers hold the machines, their schemas and their specimens together: take one case out of a
 * copy of the sources, and the copy must not build.
 */
import { cpSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { packageRoot } from "../../../setup/paths.mjs";
import { failSaying, succeed } from "./project.mjs";

const rescript = ["npx", "rescript", "build"];
const tsc = ["npx", "tsc", "--noEmit", "-p", "tsconfig.json"];
const forgotten = ["You forgot to handle a possible case here"];

/**
 * @typedef {{ title: string, file: string, from: string, to: string, command: string[], says: string[] }} Mutation
 * `from`: a piece of the file that is there exactly once.
 * @type {Mutation[]}
 */
export const mutations = [
  {
    title: "Request without the answer to one event",
    file: "src-res/Request.res",
    from: "  | (Queued(_), Preempt(_)) => late // its slot was given back meanwhile\n",
    to: "",
    command: rescript,
    says: [...forgotten, "| (Queued(", "Preempt(_)"],
  },
  {
    title: "Batch without the answer to one event",
    file: "src-res/Batch.res",
    from: "  | (Draining(_), Join(_)) => reject(IsDraining({}))\n",
    to: "",
    command: rescript,
    says: [...forgotten, "| (Draining(", "Join(_)"],
  },
  {
    title: "Worker without the answer to one event",
    file: "src-res/Worker.res",
    from: "  | (Loading(_), LoadRefused(_)) => state->ask(~fault=LoadFailed, ~intent=ToRestart)\n",
    to: "",
    command: rescript,
    says: [...forgotten, "| (Loading(", "LoadRefused(_)"],
  },
  {
    title: "Scheduler without the rank of one class",
    file: "src-res/Scheduler.res",
    from: "  | Bulk => 2.\n",
    to: "",
    command: rescript,
    says: [...forgotten, "Bulk"],
  },
  {
    title: "Request with an answer to whatever comes",
    file: "src-res/Request.res",
    from: "  | (Done(_), Dispatch(_)) => illegal\n",
    to: "  | (_, _) => illegal\n",
    command: rescript,
    says: ["this pattern-matching is fragile"],
  },
  {
    title: "a schema without one event",
    file: "src-ts/machines/schemas/Request.ts",
    from: '    z.strictObject({ kind: z.literal("aborted"), lease }),\n',
    to: "",
    command: tsc,
    says: ["src-ts/machines/schemas/Request.ts", "TS2345"],
  },
  {
    title: "a schema with an event that the machine has not",
    file: "src-ts/machines/schemas/Batch.ts",
    from: '    z.strictObject({ kind: z.literal("workerLost") }),\n',
    to: '    z.strictObject({ kind: z.literal("workerLost") }),\n    z.strictObject({ kind: z.literal("x") }),\n',
    command: tsc,
    says: ["src-ts/machines/schemas/Batch.ts", "TS2345"],
  },
  {
    title: "specimens without one state",
    file: "tests/machines/specimens/Worker.ts",
    from: '  broken: [specimen({ kind: "broken", memory: doomed, reason: "exited", since })],\n',
    to: "",
    command: tsc,
    says: ["tests/machines/specimens/Worker.ts", "TS2741"],
  },
];

const copied = [
  "src-res",
  "src-ts/machines",
  "tests/machines/specimens",
  "tests/machines/support.ts",
  "tests/machines/Scheduler.fixtures.ts",
  "rescript.json",
  "package.json",
];

/** A copy of the machines and what is tied to them, which builds. */
export function copyOfMachines(folder) {
  for (const path of copied)
    cpSync(join(packageRoot, path), join(folder, path), { recursive: true });
  linkModules(folder);
  const { compilerOptions } = JSON.parse(readFileSync(join(packageRoot, "tsconfig.json"), "utf8"));
  const include = ["src-ts", "src-res/*.gen.ts", "tests"];
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions, include }));
  succeed(folder, rescript);
  succeed(folder, tsc);
}

/** Our own packages by links, but for the one that ReScript compiles where it lies. */
function linkModules(folder) {
  const [from, to] = [join(packageRoot, "node_modules"), join(folder, "node_modules")];
  mkdirSync(join(to, "@rescript"), { recursive: true });
  const names = [
    ...readdirSync(from).filter((name) => name !== "@rescript"),
    ...readdirSync(join(from, "@rescript")).map((name) => `@rescript/${name}`),
  ];
  for (const name of names) {
    if (name === "@rescript/core") cpSync(join(from, name), join(to, name), { recursive: true });
    else symlinkSync(join(from, name), join(to, name));
  }
}

/**
 * Mutates the copy, expects the compiler's error, and mends the copy again.
 * @param {string} folder
 * @param {Mutation} mutation
 */
export function refuseMutation(folder, { file, from, to, command, says }) {
  const path = join(folder, file);
  const source = readFileSync(path, "utf8");
  const [before, after, ...more] = source.split(from);
  if (after === undefined || more.length > 0) throw new Error(`${file} has no single “${from}”`);
  writeFileSync(path, `${before}${to}${after}`);
  try {
    failSaying(folder, command, says);
  } finally {
    writeFileSync(path, source);
  }
}
