// A program that drives the orchestrator with two pretended workers, one of which dies in mid-answer.
import assert from "node:assert/strict";
import * as Orchestrator from "mlx-serving/machines/Orchestrator";
import * as Scheduler from "mlx-serving/machines/Scheduler";
import * as Worker from "mlx-serving/machines/Worker";

const serving = Orchestrator.make({
  workers: [
    ["w1", "model"],
    ["w2", "model"],
  ],
  activeMax: 1,
  membersMax: 4,
  queueMax: 10,
  newTokensDefault: 3,
  prefillTokensMax: 2048,
  batchWindowMs: 0,
  reductionMs: 60_000,
  workerPolicy: Worker.defaultPolicy,
  schedulerPolicy: Scheduler.defaultPolicy,
});
const limits = {
  contextMax: 100,
  kvBytesPerToken: 1,
  kvBytesFixed: 0,
  kvBudgetBytes: 1000,
  kvAloneBytes: 1000,
  kvRoom: { oneIn: 1, tokensMin: 0, tokensMax: 0 },
  weightsBytes: 0,
};
const told: string[] = [];
const inbox: Orchestrator.Input[] = [{ kind: "start" }];
const say = (...inputs: Orchestrator.Input[]): void => void inbox.push(...inputs);

/** What is ordered happens at once, and w1 dies after its first token. */
function obey(command: Orchestrator.Command): void {
  switch (command.kind) {
    case "launch": {
      const { workerId, epoch } = command;
      say({ kind: "spawned", workerId, epoch, pid: 1 });
      say({ kind: "hello", workerId, epoch, protocol: Worker.protocol });
      return say({ kind: "loaded", workerId, epoch, limits });
    }
    case "prepare": {
      const { workerId, slot } = command;
      return say({
        ...{ kind: "prepared", workerId, epoch: 1, slot },
        ...{ promptTokens: 5, blockHashes: [] },
      });
    }
    case "admit": {
      const { workerId, requests } = command;
      const { slot } = requests[0]!;
      const from = { workerId, epoch: 1 };
      if (workerId === "w1") {
        say({ kind: "step", ...from, step: 1, rows: [[slot, 0]] });
        return say({ kind: "exited", ...from, code: 1, signal: "", jitter: 0 });
      }
      say({ kind: "step", ...from, step: 1, rows: [[slot, 1]] });
      return say({ kind: "ended", ...from, slot, finish: { kind: "stop" } });
    }
    case "endTurn":
      return say({ kind: "turnEnded" });
    case "append":
    case "migrated":
    case "close":
      told.push(command.kind);
  }
}

const run = (): void => {
  for (let input = inbox.shift(); input !== undefined; input = inbox.shift())
    for (const command of Orchestrator.handle(serving, input, 0)) obey(command);
};

run();
const given = { clientId: "me", modelId: "model", priority: "normal" } as const;
const limit = { deadlineMs: Number.POSITIVE_INFINITY, tokensWanted: 8, survives: false };
say({ kind: "submit", submission: { requestId: "r1", ...given, ...limit } });
run();
assert.deepEqual(told, ["append", "migrated", "append", "close"]);
assert.equal(Orchestrator.view(serving).requests.length, 0);
console.log("alive and well");
