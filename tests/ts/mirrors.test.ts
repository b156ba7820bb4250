/**
 * tests/ mirrors the sources: what is in `src-ts/a/b.ts` is tested in `tests/ts/a/b.test.ts`, and what is in
 * `setup/` in `tests/setup/`. The rest is here, by what tests it or why nothing does.
 */
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { expect, it } from "vitest";
import { filesIn } from "../support/imports.js";

const root = resolve(import.meta.dirname, "../..");

interface Exception {
  /** A sentence, or the tests that stand for theirs. */
  because: string | readonly string[];
  sources: readonly string[];
}

const declarations = "declares types, constants or names, and does nothing";
const wholeEngine = [
  "tests/ts/engine/engine.test.ts",
  "tests/ts/engine/supervision.test.ts",
  "tests/simulation",
];

const exceptions: readonly Exception[] = [
  {
    because: declarations,
    sources: [
      "src-ts/errors.ts",
      "src-ts/index.ts",
      "src-ts/browser/index.ts",
      "src-ts/client/index.ts",
      "src-ts/client/platform.ts",
      "src-ts/client/run-progress.ts",
      "src-ts/client/socket.ts",
      "src-ts/engine/api.ts",
      "src-ts/engine/index.ts",
      "src-ts/console/styles.d.ts",
      "src-ts/console/strings.ts",
      "src-ts/console/chat/views/editing.ts",
      "src-ts/console/ui/places.ts",
      "src-ts/engine/journal.ts",
      "src-ts/engine/live.ts",
      "src-ts/engine/ports.ts",
      "src-ts/protocol/errors.ts",
      "src-ts/protocol/sessions.ts",
      "src-ts/protocol/index.ts",
      "src-ts/protocol/keys.ts",
      "src-ts/protocol/limits.ts",
      "src-ts/protocol/models.ts",
      "src-ts/protocol/operations.ts",
      "src-ts/protocol/tickets.ts",
      "src-ts/protocol/version.ts",
      "src-ts/react/index.ts",
      "src-ts/server/context.ts",
      "src-ts/server/options.ts",
      "src-ts/server/http/caller.ts",
      "src-ts/server/submissions/caller.ts",
      "src-ts/server/submissions/conflict.ts",
      "src-ts/engine/observers.ts",
      "src-ts/journal/values.ts",
      "src-ts/worker/launcher.ts",
    ],
  },
  {
    because: ["tests/ts/worker/messages.test.ts"],
    sources: ["src-ts/worker/figures.ts"],
  },
  {
    because: ["tests/ts/telemetry/telemetry.test.ts", "tests/faults/telemetry.test.ts"],
    sources: ["src-ts/telemetry/otlp.ts"],
  },
  { because: ["tests/ts/client/run.test.ts"], sources: ["src-ts/client/run-turns.ts"] },
  {
    because: ["tests/ts/server/openai/embeddings.test.ts"],
    sources: [
      "src-ts/protocol/embeddings.ts",
      "src-ts/server/render/vectors.ts",
      "src-ts/server/submissions/embeddings.ts",
    ],
  },
  {
    because: ["tests/ts/server/openai/tokenize.test.ts"],
    sources: ["src-ts/protocol/tokens.ts", "src-ts/server/submissions/tokens.ts"],
  },
  {
    because: ["tests/ts/server/routes.test.ts"],
    sources: ["src-ts/server/http/unknown-route.ts"],
  },
  {
    because: ["tests/ts/server/submissions/schemas/index.test.ts", "tests/ts/schemas.test.ts"],
    sources: [
      "src-ts/server/submissions/schemas/collections.ts",
      "src-ts/server/submissions/schemas/formats.ts",
      "src-ts/server/submissions/schemas/keywords.ts",
      "src-ts/server/submissions/schemas/parts.ts",
      "src-ts/server/submissions/schemas/references.ts",
      "src-ts/server/submissions/schemas/refusal.ts",
      "src-ts/server/submissions/schemas/strings.ts",
      "src-ts/server/submissions/schemas/walk.ts",
    ],
  },
  {
    because: ["tests/ts/server/submissions/constraint.test.ts"],
    sources: ["src-ts/protocol/structured-output.ts"],
  },
  {
    because: ["tests/machines/schemas.test.ts", "tests/machines/Request.test.ts"],
    sources: [
      "src-ts/machines/Batch.ts",
      "src-ts/machines/Request.ts",
      "src-ts/machines/Scheduler.ts",
      "src-ts/machines/Worker.ts",
      "src-ts/machines/schemas.ts",
      "src-ts/machines/schemas/Batch.ts",
      "src-ts/machines/schemas/Request.ts",
      "src-ts/machines/schemas/Scheduler.ts",
      "src-ts/machines/schemas/Worker.ts",
      "src-ts/machines/schemas/exactly.ts",
    ],
  },
  {
    because: wholeEngine,
    sources: [
      "src-ts/engine/config.ts",
      "src-ts/engine/execute.ts",
      "src-ts/engine/runner.ts",
      "src-ts/engine/requests/content.ts",
      "src-ts/engine/requests/requests.ts",
      "src-ts/engine/workers/mistakes.ts",
      "src-ts/engine/workers/shell.ts",
      "src-ts/engine/clock.ts",
      "src-ts/engine/responses/cursor.ts",
      "src-ts/engine/responses/logs.ts",
      "src-ts/engine/responses/registry.ts",
      "src-ts/engine/turn.ts",
      "src-ts/engine/views.ts",
    ],
  },
  {
    because: ["tests/ts/engine/storing.test.ts"],
    sources: ["src-ts/engine/responses/durable.ts", "src-ts/engine/requests/restored.ts"],
  },
  {
    because: ["tests/ts/engine/long-prompts.test.ts"],
    sources: ["src-ts/engine/requests/admission.ts"],
  },
  {
    because: ["tests/machines/Orchestrator.test.ts"],
    sources: ["src-ts/machines/Orchestrator.ts"],
  },
  {
    because: ["tests/ts/server/render/several-items.test.ts"],
    sources: [
      "src-ts/engine/responses/items.ts",
      "src-ts/engine/responses/output.ts",
      "src-ts/server/render/chat-message.ts",
      "src-ts/server/render/echo.ts",
      "src-ts/server/render/output-items.ts",
    ],
  },
  { because: ["tests/ts/failures.test.ts"], sources: ["src-ts/engine/requests/refusals.ts"] },
  {
    because: ["tests/ts/engine/supervision.test.ts"],
    sources: ["src-ts/engine/workers/native-parts.ts"],
  },
  {
    because: ["tests/ts/journal/journal.test.ts", "tests/ts/journal/recovery.test.ts"],
    sources: ["src-ts/journal/disk.ts", "src-ts/journal/segments.ts"],
  },
  {
    because: ["tests/ts/protocol/documents.test.ts"],
    sources: [
      "src-ts/protocol/asyncapi.ts",
      "src-ts/protocol/json-schemas.ts",
      "src-ts/protocol/openapi-operation.ts",
      "src-ts/protocol/openapi-operator-routes.ts",
      "src-ts/protocol/openapi-examples.ts",
      "src-ts/protocol/openapi-ollama.ts",
      "src-ts/protocol/openapi-routes.ts",
      "src-ts/protocol/openapi.ts",
    ],
  },
  {
    because: ["tests/ts/server/validation/validate.test.ts"],
    sources: [
      "src-ts/protocol/chat.ts",
      "src-ts/protocol/completions.ts",
      "src-ts/protocol/events.ts",
      "src-ts/protocol/fields.ts",
      "src-ts/protocol/responses.ts",
      "src-ts/protocol/tools.ts",
      "src-ts/server/validation/complaints.ts",
    ],
  },
  {
    because: ["tests/ts/server/operations/live-feed.test.ts"],
    sources: ["src-ts/protocol/live.ts"],
  },
  {
    because: ["tests/ts/server/console/page.test.ts"],
    sources: ["src-ts/server/console/assets.ts"],
  },
  {
    because: ["tests/ts/console/markdown/blocks.test.ts", "tests/console/console.test.ts"],
    sources: [
      "src-ts/console/markdown/languages.ts",
      "src-ts/console/markdown/policy.ts",
      "src-ts/console/markdown/sanitize.ts",
    ],
  },
  // They are a browser's, and tried in one.
  {
    because: ["tests/console/console.test.ts", "tests/console/access.test.ts"],
    sources: [
      "src-ts/console/theme.ts",
      "src-ts/console/app/session.ts",
      "src-ts/console/app/shortcuts.ts",
      "src-ts/console/chat/answers.ts",
      "src-ts/console/chat/storage.ts",
      "src-ts/console/chat/store.ts",
      "src-ts/console/live/orders.ts",
      "src-ts/console/server/api.ts",
      "src-ts/console/server/errors.ts",
      "src-ts/console/server/feed.ts",
      "src-ts/console/server/session.ts",
      "src-ts/console/server/socket.ts",
      "src-ts/console/ui/notices.ts",
      "src-ts/console/ui/router.ts",
      "src-ts/console/ui/theme.ts",
    ],
  },
  { because: ["tests/ts/server/bad-bodies.test.ts"], sources: ["src-ts/server/bodies/parser.ts"] },
  { because: ["tests/ts/server/access.test.ts"], sources: ["src-ts/server/access/hosts.ts"] },
  {
    because: ["tests/ts/keys/parse.test.ts"],
    sources: ["src-ts/keys/entry.ts", "src-ts/keys/fields.ts"],
  },
  {
    because: ["tests/ts/server/access/gate.test.ts", "tests/ts/server/access/limits.test.ts"],
    sources: ["src-ts/server/access/use.ts", "src-ts/server/operations/key-use.ts"],
  },
  {
    because: ["tests/ts/server/routes.test.ts"],
    sources: [
      "src-ts/server/errors.ts",
      "src-ts/server/index.ts",
      "src-ts/server/http/app.ts",
      "src-ts/server/openai/models.ts",
      "src-ts/server/operations/admin.ts",
    ],
  },
  {
    because: ["tests/ts/server/bodies/budget.test.ts"],
    sources: ["src-ts/server/bodies/arriving.ts"],
  },
  {
    because: [
      "tests/ts/server/anthropic/messages.test.ts",
      "tests/ts/server/anthropic/models.test.ts",
    ],
    sources: ["src-ts/protocol/anthropic.ts", "src-ts/server/anthropic/dialect.ts"],
  },
  {
    because: ["tests/ts/server/ollama/chat.test.ts", "tests/ts/server/ollama/models.test.ts"],
    sources: [
      "src-ts/protocol/ollama.ts",
      "src-ts/server/ollama/answer.ts",
      "src-ts/server/ollama/dialect.ts",
    ],
  },
  {
    because: ["tests/ts/server/json/read.test.ts"],
    sources: ["src-ts/server/json/members.ts", "src-ts/server/json/scan.ts"],
  },
  {
    because: ["tests/ts/server/openai/chat.test.ts", "tests/ts/server/openai/completions.test.ts"],
    sources: [
      "src-ts/server/openai/choices.ts",
      "src-ts/server/render/chat-chunks.ts",
      "src-ts/server/render/usage.ts",
    ],
  },
  {
    because: ["tests/ts/server/openai/responses.test.ts", "tests/ts/server/render/endings.test.ts"],
    sources: [
      "src-ts/server/response-access.ts",
      "src-ts/server/render/response-events.ts",
      "src-ts/server/render/response-object.ts",
      "src-ts/server/streams/sse.ts",
    ],
  },
  {
    because: ["tests/ts/server/operations/metrics.test.ts"],
    sources: [
      "src-ts/server/operations/histogram.ts",
      "src-ts/server/operations/schema-refusals.ts",
      "src-ts/server/operations/worker-metrics.ts",
    ],
  },
  {
    because: [
      "tests/ts/server/websocket/session.test.ts",
      "tests/ts/server/websocket/bad-messages.test.ts",
    ],
    sources: ["src-ts/server/websocket/message.ts", "src-ts/server/websocket/steering.ts"],
  },
  {
    because: [
      "tests/ts/server/bodies/budget.test.ts",
      "tests/ts/server/websocket/slow-readers.test.ts",
    ],
    sources: ["src-ts/server/websocket/arrival.ts", "src-ts/server/websocket/outgoing.ts"],
  },
  { because: ["scripts/conformance.mjs"], sources: ["src-ts/server/websocket/echo.ts"] },
  {
    because: ["tests/ts/client/client.test.ts", "tests/ts/client/recovery.test.ts"],
    sources: [
      "src-ts/client/backoff.ts",
      "src-ts/client/channel.ts",
      "src-ts/client/errors.ts",
      "src-ts/client/exchange.ts",
      "src-ts/client/lanes.ts",
      "src-ts/client/silence.ts",
    ],
  },
  { because: ["tests/ts/client/browser.test.ts"], sources: ["src-ts/client/websocket-browser.ts"] },
  { because: ["tests/ts/client/connection.test.ts"], sources: ["src-ts/client/websocket-node.ts"] },
  { because: ["tests/ts/config.test.ts"], sources: ["src-ts/options.ts"] },
  { because: ["tests/ts/serve.test.ts"], sources: ["src-ts/create-engine.ts"] },
  {
    because: ["tests/ts/environment/models.test.ts", "tests/e2e"],
    sources: [
      "src-ts/environment/families.ts",
      "src-ts/environment/prepare.ts",
      "src-ts/environment/python.ts",
    ],
  },
  {
    because: ["tests/ts/bench/targets.test.ts"],
    sources: [
      "src-ts/bench/dialect.ts",
      "src-ts/bench/http-target.ts",
      "src-ts/bench/socket-target.ts",
      "src-ts/bench/target.ts",
    ],
  },
  {
    because: "measures, and prints what it has measured: its numbers are `statistics.ts`'s",
    sources: [
      "src-ts/bench/added-latency.ts",
      "src-ts/bench/bench.ts",
      "src-ts/bench/comparison.ts",
      "src-ts/bench/idle.ts",
      "src-ts/bench/memory.ts",
      "src-ts/bench/prompts.ts",
      "src-ts/bench/report.ts",
    ],
  },
  {
    because: ["tests/ts/cli/usage.test.ts", "tests/ts/cli/serve.test.ts"],
    sources: [
      "src-ts/cli/bench.ts",
      "src-ts/cli/build-native.ts",
      "src-ts/cli/doctor.ts",
      "src-ts/cli/interrupt.ts",
      "src-ts/cli/logger.ts",
      "src-ts/cli/main.ts",
      "src-ts/cli/models.ts",
      "src-ts/cli/run-server.ts",
      "src-ts/cli/startup.ts",
      "src-ts/cli/stop.ts",
    ],
  },
  {
    because: ["tests/ts/cli/launch.test.ts"],
    sources: [
      "src-ts/cli/agent-program.ts",
      "src-ts/cli/agent-target.ts",
      "src-ts/cli/local-server.ts",
      "src-ts/cli/agents/agent.ts",
      "src-ts/cli/agents/claude.ts",
      "src-ts/cli/agents/codex.ts",
      "src-ts/cli/agents/index.ts",
      "src-ts/cli/agents/opencode.ts",
      "src-ts/cli/agents/pi.ts",
      "src-ts/cli/agents/qwen.ts",
    ],
  },
  {
    because: ["tests/ts/cli/chat.test.ts", "tests/ts/cli/display.test.ts"],
    sources: ["src-ts/cli/conversation.ts", "src-ts/cli/format.ts", "src-ts/cli/input.ts"],
  },
  {
    because: ["tests/setup/clone/setup.test.ts"],
    sources: [
      "setup/model.mjs",
      "setup/paths.mjs",
      "setup/clone/check-platform.mjs",
      "setup/clone/interrupt.mjs",
      "setup/clone/main.mjs",
      "setup/clone/node.mjs",
      "setup/clone/progress.mjs",
    ],
  },
  {
    because: ["tests/setup/native/build.test.ts", "tests/setup/native/kept.test.ts"],
    sources: [
      "setup/site-packages.mjs",
      "setup/native/home.mjs",
      "setup/native/parts.mjs",
      "setup/native/reasons.mjs",
      "setup/native/record.mjs",
      "setup/native/tools.mjs",
    ],
  },
];

const namesake = (source: string) =>
  source.replace(/^src-ts\//, "ts/").replace(/^(.*)\.(ts|mjs)$/, "tests/$1.test.ts");
const sources = filesIn(root, ["src-ts", "setup"], /\.(ts|mjs)$/);
const listed = exceptions.flatMap((exception) => exception.sources);

it("every source has a test of its name, or is listed", () => {
  expect(sources.length).toBeGreaterThan(200);
  const alone = sources.filter((source) => !existsSync(join(root, namesake(source))));
  expect(alone.filter((source) => !listed.includes(source))).toEqual([]);
});

it("what is listed is there, once, and has no test of its name", () => {
  expect(listed.filter((source) => !sources.includes(source))).toEqual([]);
  expect(listed.filter((source) => existsSync(join(root, namesake(source))))).toEqual([]);
  expect(listed.filter((source, index) => listed.indexOf(source) !== index)).toEqual([]);
});

it("what stands for a test is there", () => {
  const tests = exceptions.flatMap(({ because }) => (typeof because === "string" ? [] : because));
  expect(tests.filter((path) => !existsSync(join(root, path)))).toEqual([]);
});
