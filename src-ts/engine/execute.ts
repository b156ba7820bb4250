/** Each command of the orchestrator, given to the one who carries it out. Total, and nothing else. */
import { ServingError } from "../errors.js";
import type { Command } from "../machines/Orchestrator.js";
import type { Observers } from "./observers.js";
import type { Requests } from "./requests/requests.js";
import type { Execute, Said } from "./runner.js";
import type { Timelines } from "./timelines.js";
import type { Turn } from "./turn.js";
import type { WorkerShell } from "./workers/shell.js";

export interface Hands {
  timelines: Timelines;
  turn: Turn;
  requests: Requests;
  observers: Observers;
  shell(workerId: string): WorkerShell;
  /** A worker of this model can take work. */
  onAvailable(modelId: string): void;
  /** This model can't be loaded, or all its workers are broken. */
  onUnloadable(modelId: string, error: ServingError): void;
  /** This worker has stopped and is not known any more. */
  onLeft(workerId: string): void;
  /** A request has ended, or was turned away. */
  onGone(): void;
}

export function executing(hands: Hands): Execute {
  const { timelines, turn, requests, shell } = hands;
  return (command, said) => {
    timelines.take(command);
    switch (command.kind) {
      case "endTurn":
        return turn.touch();

      case "size":
        return requests.size(command, said);
      case "store":
        return requests.store(command);
      case "accept":
        return requests.accept(command);
      case "queued":
        return requests.queued(command);
      case "lease":
        return requests.lease(command);
      case "cached":
        return requests.cached(command);
      case "append":
        return requests.append(command);
      case "discard":
        return requests.discard(command);
      case "migrated":
        return requests.migrated(command);
      case "release":
        return requests.release(command);
      case "interrupt":
        return requests.interrupt(command);
      case "armDeadline":
        return requests.armDeadline(command);
      case "close":
        requests.close(command, said);
        return hands.onGone();
      case "turnAway":
        requests.turnAway(command);
        return hands.onGone();

      case "launch":
        return shell(command.workerId).launch(command.epoch);
      case "kill":
        return shell(command.workerId).kill(command.signal);
      case "load":
        return shell(command.workerId).load();
      case "askStop":
        return shell(command.workerId).send({ type: "stop" });
      case "prepare":
        return shell(command.workerId).prepare(command.slot, requests.preparationOf(command));
      case "admit":
        return shell(command.workerId).admit(requests.admissions(command.requests));
      case "abort":
        return shell(command.workerId).send({ type: "abort", ids: [command.slot] });
      case "acknowledge":
        return shell(command.workerId).send({ type: "ack", step: command.step });
      case "armWorker":
        return shell(command.workerId).arm(command);
      case "disarmWorker":
        return shell(command.workerId).disarm(command.timer);
      case "armWindow":
        return shell(command.workerId).armWindow(command.ms);
      case "disarmWindow":
        return shell(command.workerId).disarmWindow();
      case "workerStopped":
        return shell(command.workerId).stopped();
      case "workerLeft":
        return hands.onLeft(command.workerId);

      default:
        return tell(hands, command, said);
    }
  };
}

type News = Extract<
  Command,
  {
    kind:
      | "workerChanged"
      | "available"
      | "loadFailed"
      | "blame"
      | "processEnded"
      | "workerLost"
      | "report"
      | "modelBroken"
      | "rejected";
  }
>;

function tell(hands: Hands, news: News, said: Said): void {
  const { observers } = hands;
  if (news.kind === "rejected") {
    const { machine, rejection: kind, state, event } = news;
    return observers.tell("rejection", { machine, kind, state, event });
  }
  const shell = hands.shell(news.workerId);
  const model = shell.model.id;
  switch (news.kind) {
    case "available":
      return hands.onAvailable(model);
    case "loadFailed":
      shell.loadFailed(said);
      return hands.onUnloadable(model, loadError(shell));
    case "blame":
      return shell.blame(news);
    case "processEnded":
      return shell.processEnded(news, said);
    case "modelBroken":
      return hands.onUnloadable(model, loadError(shell));
    case "workerLost": {
      const { workerId, epoch, fault, leases } = news;
      return observers.tell("workerLost", { workerId, epoch, fault, leases });
    }
    case "workerChanged": {
      const { workerId, from, to, epoch } = news;
      observers.tell("workerState", { workerId, model, from, to, epoch });
      // The first start has its own display; from then on people want to know how it goes on.
      const level = epoch > 1 || from === "ready" ? "info" : "debug";
      return observers.tell("log", level, `worker is ${to}`, { worker: workerId, epoch });
    }
    case "report": {
      const { workerId: worker, fault, fatal } = news;
      const message = fatal ? "worker was given up until its next try" : "worker was lost";
      const fields = { worker, fault, reason: shell.reason?.message };
      return observers.tell("log", fatal ? "error" : "warn", message, fields);
    }
  }
}

function loadError({ model, reason }: WorkerShell): ServingError {
  const { code, message } = reason ?? { code: "worker_broken", message: "it won't start" };
  return new ServingError(`model ${model.id}: ${message}`, { code, status: 503 });
}
