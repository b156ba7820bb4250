import type { Caller } from "../../../../src-ts/server/submissions/caller.js";

export const caller: Caller = {
  owner: "key:1",
  clientId: "key:1",
  priority: undefined,
  deadlineMs: undefined,
  idempotencyKey: undefined,
  origin: { requestId: "req_1" },
};
