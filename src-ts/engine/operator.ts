/** What an operator sees of the running requests, and may do to them and to workers. Decides nothing. */
import type { RequestView, View, WorkerView } from "../machines/Orchestrator.js";
import type { BatchInfo, LiveView, Operator, RequestInfo, Timeline } from "./api.js";
import type { Clock } from "./ports.js";
import type { LiveRequest } from "./requests/content.js";
import type { Timelines } from "./timelines.js";

/** Ended requests that a view shows. */
const endedShown = 40;

export interface OperatorHost {
  timelines: Timelines;
  requests: ReadonlyMap<string, LiveRequest>;
  view(): View;
  cancel(id: string): void;
  kill(workerId: string): boolean;
  clock: Clock;
}

export class EngineOperator implements Operator {
  constructor(private readonly host: OperatorHost) {}

  view(requestsMax: number): LiveView {
    const { requests, workers } = this.host.view();
    const seen = requests.flatMap((view) => {
      const request = this.host.requests.get(view.requestId);
      // What is only counted is no request to whoever watches.
      return request === undefined || request.identity.settle.tokenized ? [] : [{ view, request }];
    });
    const held = seen.filter(({ view }) => view.workerId !== undefined);
    const waiting = seen.filter(({ view }) => view.workerId === undefined);
    return {
      requests: [...held, ...waiting]
        .slice(0, requestsMax)
        .map(({ view, request }) => this.requestInfo(view, request)),
      requestCount: seen.length,
      batches: workers.flatMap(batchInfo),
      ended: this.host.timelines.recent(endedShown),
    };
  }

  timeline(id: string): Timeline | undefined {
    return this.host.timelines.get(id);
  }

  cancel(id: string): boolean {
    if (!this.host.requests.has(id)) return false;
    this.host.cancel(id);
    return true;
  }

  killWorker(id: string): boolean {
    return this.host.kill(id);
  }

  private requestInfo(view: RequestView, { identity, phase }: LiveRequest): RequestInfo {
    const { clock, timelines } = this.host;
    const { state, requestId: id } = view;
    const accepted = phase.kind === "accepted" ? phase : undefined;
    const firstTokenAt = accepted?.times.firstTokenAt;
    return {
      id,
      model: view.modelId,
      state: state.kind,
      workerId: view.workerId,
      priority: identity.asked.priority,
      arrivedAtMs: Math.round(clock.wall() - (clock.now() - identity.arrivedAt)),
      promptTokens: accepted?.prompt.promptTokens.length,
      maxTokens: accepted?.prompt.maxTokens,
      cachedTokens: accepted?.log.cachedTokens ?? 0,
      prefill: state.kind === "prefilling" ? { done: state.done, total: state.total } : undefined,
      emitted: view.emitted,
      attempts: timelines.attemptsOf(id),
      ttftMs: firstTokenAt === undefined ? undefined : firstTokenAt - identity.arrivedAt,
    };
  }
}

function batchInfo({ workerId, batch }: WorkerView): BatchInfo[] {
  if (batch === undefined || batch.kind === "closed") return [];
  const members = batch.kind === "forming" ? [...batch.running, ...batch.joining] : batch.members;
  const { budget } = batch.terms;
  return [
    {
      workerId,
      state: batch.kind,
      members: members.length,
      membersMax: budget.members,
      kvBytes: members.reduce((sum, { cost }) => sum + cost.kvBytes, 0),
      kvBytesMax: budget.kvBytes,
    },
  ];
}
