import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import * as Batch from "../../src-ts/machines/Batch.js";
import * as Request from "../../src-ts/machines/Request.js";
import {
  type Decision,
  defaultPolicy,
  type Item,
  plan,
  type Worker,
} from "../../src-ts/machines/Scheduler.js";
import * as Machine from "../../src-ts/machines/Worker.js";
import { documented, inBrackets, moduleDoc, note, root, valueDoc } from "./documentation.js";
import * as batch from "./specimens/Batch.js";
import * as request from "./specimens/Request.js";
import { type Example, examples } from "./specimens/Scheduler.js";
import * as worker from "./specimens/Worker.js";
import { typesPage } from "./types-page.js";

const pages: Record<string, () => string> = {
  Request: () =>
    documented({ name: "Request", ...request, transition: Request.transition, first: "preparing" }),
  Batch: () =>
    documented({ name: "Batch", ...batch, transition: Batch.transition, first: "running" }),
  Worker: () =>
    documented({ name: "Worker", ...worker, transition: Machine.transition, first: "stopped" }),
  Scheduler: scheduler,
  Types: typesPage,
};

/** `npm run docs` sets this; a plain test run only compares. */
const writing = process.env.MLX_SERVING_WRITE_DOCS === "1";

describe("docs/machines", () => {
  it.each(Object.entries(pages))("%s.md is what the machine does", (name, page) => {
    const file = join(root, `docs/machines/${name}.md`);
    if (writing) writeFileSync(file, page());
    expect(readFileSync(file, "utf8"), "run `npm run docs`").toBe(page());
  });
});

function scheduler(): string {
  return `${[
    note("src-res/Scheduler.resi and tests/machines/specimens/Scheduler.ts"),
    "# Scheduler",
    moduleDoc("Scheduler"),
    "## Rules",
    valueDoc("Scheduler", "plan"),
    "What each field means is said in [`src-res/Scheduler.resi`](../../src-res/Scheduler.resi). The default policy:",
    table(
      ["field", "default"],
      Object.entries(defaultPolicy).map(([name, value]) => [name, String(value)]),
    ),
    "## Examples",
    "Each of them is decided by `plan` when this page is generated. Quantum: 100 tokens; ageing: 10 s.",
    ...Object.entries(examples).flatMap(([kind, some]) => [
      `### ${kind}`,
      ...some.map((one) => worked(kind, one)),
    ]),
  ].join("\n\n")}\n`;
}

function worked(kind: string, { title, given }: Example): string {
  const { decisions, shares } = plan(given);
  if (kind === "wait") expect(decisions).toEqual([]);
  else expect(decisions.map((decision) => decision.kind)).toContain(kind);
  const credits = shares.map(({ clientId, credit }) => `${clientId} ${credit}`);
  return [
    `**${title}.**`,
    table(
      ["queue", "client", "class", "waited", "tokens", "KV bytes", ""],
      given.queue.map((one) => queued(one, given.now)),
    ),
    table(["worker", "members", "free KV bytes", "runs"], given.workers.map(staffed)),
    `Decisions: ${decisions.map(decided).join(" · ") || "none"}.`,
    ...(credits.length > 0 ? [`Credit afterwards: ${credits.join(" · ")}.`] : []),
  ].join("\n\n");
}

const table = (head: string[], rows: string[][]) =>
  [head, head.map(() => "---"), ...rows].map((cells) => `| ${cells.join(" | ")} |`).join("\n");

function queued(one: Item, now: number): string[] {
  const { requestId, clientId, priority, arrivedAt, cost, key, alone, prefixes } = one;
  const special = [
    ...(alone ? ["alone"] : []),
    ...(key === "m" ? [] : [`key ${key}`]),
    ...prefixes.map(({ workerId, tokens }) => `${tokens} tokens cached on ${workerId}`),
  ];
  return [
    requestId,
    clientId,
    priority,
    `${now - arrivedAt} ms`,
    `${cost.promptTokens} + ${cost.newTokens}`,
    String(cost.kvBytes),
    special.join(", "),
  ];
}

function staffed({ workerId, capacity, free, running }: Worker): string[] {
  const runs = running.map(({ requestId, priority, preemptible }) =>
    inBrackets(requestId, [priority, ...(preemptible ? [] : ["leaving"])]),
  );
  return [
    workerId,
    `${capacity.members - free.members} of ${capacity.members}`,
    `${free.kvBytes} of ${capacity.kvBytes}`,
    runs.join(", "),
  ];
}

function decided(decision: Decision): string {
  const { requestId } = decision;
  switch (decision.kind) {
    case "dispatch":
      return `dispatch ${requestId} to ${decision.workerId}`;
    case "preempt":
      return `preempt ${requestId} on ${decision.workerId} for ${decision.inFavourOf}`;
    case "refuse":
      return `refuse ${requestId}: ${decision.needed} ${decision.resource} needed, ${decision.limit} at most`;
  }
}
