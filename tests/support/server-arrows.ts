/** What the folders of the server import: its part of the table in tests/ts/architecture.test.ts. */
import type { Arrows } from "./console-arrows.js";

export const serverArrows: Readonly<Record<string, Arrows>> = {
  "src-ts/server/validation": {
    values: ["src-ts/failures.ts", "src-ts/protocol"],
    types: ["src-ts/errors.ts", "src-ts/server/options.ts"],
  },
  "src-ts/server/json": {
    values: [
      "src-ts/failures.ts",
      "src-ts/json-fault.ts",
      "src-ts/protocol",
      "src-ts/server/validation",
    ],
    types: ["src-ts/errors.ts"],
  },
  "src-ts/server/bodies": {
    values: ["src-ts/failures.ts", "src-ts/protocol", "src-ts/server/json"],
    types: ["src-ts/errors.ts", "src-ts/server/options.ts"],
  },
  "src-ts/server/access": {
    values: ["src-ts/failures.ts", "src-ts/keys", "src-ts/loopback.ts", "src-ts/protocol"],
    types: ["src-ts/engine/api.ts", "src-ts/errors.ts", "src-ts/server/options.ts"],
  },
  // A body becomes a submission: no request, no reply, no engine at work.
  "src-ts/server/submissions": {
    values: [
      "src-ts/encoding",
      "src-ts/engine/conversation.ts",
      "src-ts/failures.ts",
      "src-ts/protocol",
      "src-ts/server/submissions/schemas",
      "src-ts/server/validation",
    ],
    types: ["src-ts/engine/api.ts", "src-ts/errors.ts", "src-ts/server/render", "src-ts/worker"],
  },
  "src-ts/server/submissions/schemas": {
    values: [
      "src-ts/errors.ts",
      "src-ts/failures.ts",
      "src-ts/protocol",
      "src-ts/server/validation",
    ],
  },
  // An entry becomes an event: the same.
  "src-ts/server/render": {
    values: [
      "src-ts/engine/conversation.ts",
      "src-ts/errors.ts",
      "src-ts/failures.ts",
      "src-ts/protocol",
    ],
    types: ["src-ts/engine/api.ts", "src-ts/server/access", "src-ts/worker"],
  },
  "src-ts/server/http": {
    values: [
      "src-ts/failures.ts",
      "src-ts/nearest.ts",
      "src-ts/protocol",
      "src-ts/server/bodies",
      "src-ts/server/errors.ts",
      "src-ts/server/render",
      "src-ts/server/validation",
    ],
    types: [
      "src-ts/errors.ts",
      "src-ts/server/access",
      "src-ts/server/options.ts",
      "src-ts/server/submissions",
    ],
  },
  "src-ts/server/streams": {
    values: ["src-ts/server/errors.ts", "src-ts/server/http"],
    types: ["src-ts/engine/api.ts", "src-ts/errors.ts", "src-ts/server/options.ts"],
  },
  "src-ts/server/openai": {
    values: [
      "src-ts/errors.ts",
      "src-ts/failures.ts",
      "src-ts/protocol",
      "src-ts/server/errors.ts",
      "src-ts/server/http",
      "src-ts/server/predecessors.ts",
      "src-ts/server/render",
      "src-ts/server/response-access.ts",
      "src-ts/server/streams",
      "src-ts/server/submissions",
      "src-ts/server/validation",
    ],
    types: [
      "src-ts/engine/api.ts",
      "src-ts/server/access",
      "src-ts/server/bodies",
      "src-ts/server/context.ts",
    ],
  },
  "src-ts/server/anthropic": {
    values: [
      "src-ts/failures.ts",
      "src-ts/protocol",
      "src-ts/server/errors.ts",
      "src-ts/server/http",
      "src-ts/server/openai",
      "src-ts/server/render",
      "src-ts/server/streams",
      "src-ts/server/submissions",
      "src-ts/server/validation",
    ],
    types: ["src-ts/engine/api.ts", "src-ts/errors.ts", "src-ts/server/context.ts"],
  },
  "src-ts/server/ollama": {
    values: [
      "src-ts/failures.ts",
      "src-ts/protocol",
      "src-ts/server/errors.ts",
      "src-ts/server/http",
      "src-ts/server/openai",
      "src-ts/server/render",
      "src-ts/server/streams",
      "src-ts/server/submissions",
      "src-ts/server/validation",
    ],
    types: ["src-ts/engine/api.ts", "src-ts/errors.ts", "src-ts/server/context.ts"],
  },
  "src-ts/server/websocket": {
    values: [
      "src-ts/errors.ts",
      "src-ts/failures.ts",
      "src-ts/protocol",
      "src-ts/server/errors.ts",
      "src-ts/server/http",
      "src-ts/server/json",
      "src-ts/server/predecessors.ts",
      "src-ts/server/render",
      "src-ts/server/response-access.ts",
      "src-ts/server/streams",
      "src-ts/server/submissions",
      "src-ts/server/validation",
    ],
    types: [
      "src-ts/engine/api.ts",
      "src-ts/server/access",
      "src-ts/server/bodies",
      "src-ts/server/context.ts",
      "src-ts/server/options.ts",
    ],
  },
  "src-ts/server/operations": {
    values: [
      "src-ts/failures.ts",
      "src-ts/keys",
      "src-ts/protocol",
      "src-ts/server/streams",
      "src-ts/server/submissions/schemas",
    ],
    types: [
      "src-ts/engine/api.ts",
      "src-ts/errors.ts",
      "src-ts/server/access",
      "src-ts/server/options.ts",
    ],
  },
  "src-ts/server/files": {},
  "src-ts/server/console": { values: ["setup", "src-ts/server/files"] },
  "src-ts/server/docs": { values: ["setup", "src-ts/server/files"] },
  "src-ts/server/options.ts": { values: ["src-ts/keys", "src-ts/protocol"] },
  "src-ts/server/context.ts": {
    types: [
      "src-ts/errors.ts",
      "src-ts/server/access",
      "src-ts/server/bodies",
      "src-ts/server/options.ts",
    ],
  },
  "src-ts/server/errors.ts": {
    values: [
      "src-ts/errors.ts",
      "src-ts/failures.ts",
      "src-ts/server/bodies",
      "src-ts/server/render",
    ],
    types: ["src-ts/server/options.ts"],
  },
  "src-ts/server/response-access.ts": {
    values: [
      "src-ts/failures.ts",
      "src-ts/server/errors.ts",
      "src-ts/server/render",
      "src-ts/server/validation",
    ],
    types: ["src-ts/engine/api.ts", "src-ts/server/submissions"],
  },
  "src-ts/server/predecessors.ts": {
    values: [
      "src-ts/encoding",
      "src-ts/engine/conversation.ts",
      "src-ts/failures.ts",
      "src-ts/server/render",
      "src-ts/server/submissions",
    ],
    types: ["src-ts/engine/api.ts"],
  },
  "src-ts/server/routes.ts": {
    values: [
      "src-ts/failures.ts",
      "src-ts/protocol",
      "src-ts/server/anthropic",
      "src-ts/server/console",
      "src-ts/server/docs",
      "src-ts/server/http",
      "src-ts/server/ollama",
      "src-ts/server/openai",
      "src-ts/server/operations",
      "src-ts/server/validation",
    ],
    types: ["src-ts/server/access", "src-ts/server/context.ts"],
  },
  "src-ts/server/index.ts": {
    values: [
      "src-ts/server/access",
      "src-ts/server/bodies",
      "src-ts/server/console",
      "src-ts/server/docs",
      "src-ts/server/http",
      "src-ts/server/operations",
      "src-ts/server/options.ts",
      "src-ts/server/routes.ts",
      "src-ts/server/websocket",
    ],
    types: ["src-ts/engine/api.ts", "src-ts/errors.ts", "src-ts/server/context.ts"],
  },
};
