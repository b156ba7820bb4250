/** One request from its arrival to its end, as its machine went: which transition, when, and what is known of it. */
import { useEffect, useState } from "preact/hooks";
import type { Timeline, Transition } from "../../protocol/live.js";
import { call } from "../server/api.js";
import { ApiError } from "../server/errors.js";
import { format, t } from "../strings.js";
import { CopyButton } from "../ui/copy.js";
import { Dialog } from "../ui/dialog.js";
import { go } from "../ui/router.js";

const againMs = 1_000;

export function TimelineDialog({ id }: { id: string }) {
  const [timeline, setTimeline] = useState<Timeline>();
  const [problem, setProblem] = useState<string>();
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    let closed = false;
    const load = async () => {
      try {
        const found = await call<Timeline>(`/debug/requests/${encodeURIComponent(id)}`);
        if (closed) return;
        setTimeline(found);
        setProblem(undefined);
        if (found.live) timer = setTimeout(() => void load(), againMs);
      } catch (error) {
        const isGone = error instanceof ApiError && error.status === 404;
        if (!closed) setProblem(isGone ? t.timeline.gone : t.connection.unreachable);
      }
    };
    void load();
    return () => {
      closed = true;
      clearTimeout(timer);
    };
  }, [id]);
  return (
    <Dialog title={t.timeline.title} onClose={() => go({ view: "live", id: undefined })} side>
      <p class="timeline-id">
        <code>{id}</code>
        <CopyButton text={() => id} label={t.common.copy} />
      </p>
      {problem !== undefined && <p class="problem">{problem}</p>}
      {timeline === undefined && problem === undefined && <p class="muted">{t.timeline.loading}</p>}
      {timeline !== undefined && <Transitions timeline={timeline} />}
    </Dialog>
  );
}

function Transitions({ timeline }: { timeline: Timeline }) {
  const { transitions, model, priority, arrivedAtMs, omitted } = timeline;
  const total = Math.max(1, transitions.at(-1)?.afterMs ?? 1);
  return (
    <>
      <dl class="facts">
        <div>
          <dt>{t.timeline.model}</dt>
          <dd>{model}</dd>
        </div>
        <div>
          <dt>{t.timeline.priority}</dt>
          <dd>{priority}</dd>
        </div>
        <div>
          <dt>{t.timeline.arrived}</dt>
          <dd>{new Date(arrivedAtMs).toLocaleTimeString("en-GB")}</dd>
        </div>
      </dl>
      <ol class="timeline">
        {transitions.map((one, i) => (
          <li key={i} class={`event-${one.event}${one.finish === "failed" ? " failed" : ""}`}>
            <span class="event-name">{nameOf(one)}</span>
            <span class="event-time">{format.duration(one.afterMs)}</span>
            <span class="event-facts">{factsOf(one).join(" · ")}</span>
            <Span from={(transitions[i - 1]?.afterMs ?? 0) / total} to={one.afterMs / total} />
          </li>
        ))}
      </ol>
      {omitted > 0 && <p class="muted">{t.timeline.omitted(omitted)}</p>}
    </>
  );
}

/** What this step took of the whole. */
function Span({ from, to }: { from: number; to: number }) {
  const width = Math.max(0.4, (to - from) * 100);
  return (
    <span class="event-span" aria-hidden="true">
      <i style={{ left: `${Math.min(from * 100, 99.6)}%`, width: `${width}%` }} />
    </span>
  );
}

function nameOf({ event, finish }: Transition): string {
  const name = t.timeline.events[event] ?? event;
  return finish === undefined ? name : `${name}: ${t.live.finish[finish] ?? finish}`;
}

function factsOf(one: Transition): string[] {
  const { facts } = t.timeline;
  return (Object.keys(facts) as (keyof typeof facts)[]).flatMap((name) => {
    const value = one[name];
    return value === undefined ? [] : [(facts[name] as (value: unknown) => string)(value)];
  });
}
