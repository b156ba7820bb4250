// `npm run docs`: writes what is generated: pages of docs/, and the worker's side of the link. All are made where
// they are tested, so that a stale one fails `npm test`; this only runs those tests with leave to write.
import { spawnSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { interruptible } from "../setup/clone/interrupt.mjs";
import { installPackages } from "../setup/clone/setup.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
await interruptible((signal) => installPackages({ signal }));
mkdirSync(`${root}/docs/machines`, { recursive: true });
const tests = [
  "tests/machines/documentation.test.ts",
  "tests/ts/protocol/documents.test.ts",
  "tests/ts/worker/messages.test.ts",
];
const { status } = spawnSync(
  process.execPath,
  ["node_modules/vitest/vitest.mjs", "run", ...tests],
  { cwd: root, stdio: "inherit", env: { ...process.env, MLX_SERVING_WRITE_DOCS: "1" } },
);
process.exit(status ?? 1);
