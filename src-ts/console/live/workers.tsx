/** Workers as their machines are: state, incarnation, memory, batch, native parts; and what can be done to them. */
import { useState } from "preact/hooks";
import type { BatchRow, Snapshot } from "../../protocol/live.js";
import type { WorkerStatus } from "../../protocol/operations.js";
import { format, t } from "../strings.js";
import { Confirm } from "../ui/dialog.js";
import { killWorker, restartWorker } from "./orders.js";

const { worker: words } = t.live;

export function Workers({ snapshot: { workers, batches } }: { snapshot: Snapshot }) {
  return (
    <section aria-labelledby="workers-title">
      <h2 id="workers-title">{t.live.workers}</h2>
      <ul class="workers">
        {workers.map((worker) => (
          <Card
            key={worker.id}
            worker={worker}
            batch={batches.find(({ workerId }) => workerId === worker.id)}
          />
        ))}
      </ul>
    </section>
  );
}

type Tone = "good" | "busy" | "warn" | "bad";
const toneOf: Readonly<Record<string, Tone>> = {
  ready: "good",
  starting: "busy",
  loading: "busy",
  draining: "warn",
  stopping: "warn",
  suspect: "warn",
  backoff: "warn",
  stopped: "warn",
  broken: "bad",
};

function Card({ worker, batch }: { worker: WorkerStatus; batch: BatchRow | undefined }) {
  const { id, model, state, epoch, restarts, pid, reason, loading, telemetry, limits } = worker;
  const figure = (name: string) => Number(telemetry?.[name] ?? 0);
  const role = (worker as { role?: string }).role;
  return (
    <li class="worker card">
      <header class="worker-head">
        <h3>{id}</h3>
        <span class={`badge ${toneOf[state] ?? "warn"}`}>{state}</span>
        {role === "spare" && <span class="badge">{words.spare}</span>}
        <span class="muted worker-model">{model}</span>
      </header>
      {loading !== undefined && loading.total > 0 && (
        <p class="muted">
          {loading.what} {format.percent(loading.done / loading.total)}
        </p>
      )}
      {reason !== undefined && <p class="problem">{reason}</p>}
      <Places batch={batch} />
      <dl class="facts">
        <Fact name={words.epoch} value={format.number(epoch)} />
        <Fact name={words.restarts} value={format.number(restarts)} />
        <Fact name={words.process} value={pid === undefined ? t.common.none : String(pid)} />
        {figure("memoryBytes") > 0 && (
          <Fact name={words.memory} value={format.bytes(figure("memoryBytes"))} />
        )}
        {limits !== undefined && (
          <Fact
            name={words.kv}
            value={`${format.bytes(figure("kvBytes"))} / ${format.bytes(limits.kvBudgetBytes)}`}
          />
        )}
        {figure("prefixCacheBytes") > 0 && (
          <Fact name={words.prefix} value={format.bytes(figure("prefixCacheBytes"))} />
        )}
      </dl>
      <Native worker={worker} />
      <Buttons id={id} hasProcess={pid !== undefined} />
    </li>
  );
}

function Fact({ name, value }: { name: string; value: string }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{value}</dd>
    </div>
  );
}

/** Places of the batch as squares, while there are not too many of them. */
function Places({ batch }: { batch: BatchRow | undefined }) {
  const { members, membersMax } = batch ?? { members: 0, membersMax: 0 };
  if (membersMax === 0) return null;
  const label = words.batchOf(members, membersMax);
  return (
    <div class="places">
      <span class="label">{words.batch}</span>
      {membersMax <= 32 && (
        <span class="squares" aria-hidden="true">
          {Array.from({ length: membersMax }, (_, i) => (
            <i key={i} class={i < members ? "taken" : ""} />
          ))}
        </span>
      )}
      <span class="muted">{label}</span>
    </div>
  );
}

function Native({ worker: { native } }: { worker: WorkerStatus }) {
  const parts = Object.entries(native?.parts ?? {}).filter(([, { applicable }]) => applicable);
  return (
    <p class="native">
      <span class="label">{words.native}</span>
      {parts.length === 0 && <span class="muted">{words.nativeNone}</span>}
      {parts.map(([name, { on, missing, reason }]) => (
        <span
          key={name}
          class={`badge ${on ? "good" : missing ? "bad" : ""}`}
          title={reason ?? undefined}
        >
          {name} {on ? words.on : words.off}
        </span>
      ))}
    </p>
  );
}

function Buttons({ id, hasProcess }: { id: string; hasProcess: boolean }) {
  const [asked, setAsked] = useState<"kill" | "restart">();
  const close = () => setAsked(undefined);
  return (
    <div class="worker-buttons">
      <button type="button" class="small" onClick={() => setAsked("restart")}>
        {words.restart}
      </button>
      <button
        type="button"
        class="small danger"
        disabled={!hasProcess}
        onClick={() => setAsked("kill")}
      >
        {words.kill} <span class="hint">({words.killHint})</span>
      </button>
      {asked === "restart" && (
        <Confirm
          title={words.restartTitle(id)}
          why={words.restartWhy}
          action={words.restart}
          onConfirm={() => void restartWorker(id)}
          onClose={close}
        />
      )}
      {asked === "kill" && (
        <Confirm
          title={words.killTitle(id)}
          why={words.killWhy}
          action={words.kill}
          danger
          onConfirm={() => void killWorker(id)}
          onClose={close}
        />
      )}
    </div>
  );
}
