/** The live view: charts, workers, and every request on its way. */
import { useEffect, useState } from "preact/hooks";
import { feedState, snapshot, watch } from "../server/feed.js";
import { t } from "../strings.js";
import { Confirm } from "../ui/dialog.js";
import { route } from "../ui/router.js";
import { Chart } from "./chart.js";
import { charts } from "./charts.js";
import { drain } from "./orders.js";
import { Requests } from "./requests.js";
import { TimelineDialog } from "./timeline.js";
import { Workers } from "./workers.js";

export function LiveView() {
  useEffect(watch, []);
  const now = snapshot.value;
  const { view } = route.value;
  const opened = view === "live" ? route.value.id : undefined;
  return (
    <section class="live" aria-label={t.live.title}>
      <LiveHeader />
      {now === undefined ? (
        <p class="muted">{feedState.value === "refused" ? t.live.refused : t.live.loading}</p>
      ) : (
        <>
          <div class="charts">
            {charts.map((spec) => (
              <Chart key={spec.id} spec={spec} />
            ))}
          </div>
          <Workers snapshot={now} />
          <Requests snapshot={now} />
        </>
      )}
      {opened !== undefined && <TimelineDialog key={opened} id={opened} />}
    </section>
  );
}

function LiveHeader() {
  const [asked, setAsked] = useState(false);
  const now = snapshot.value;
  return (
    <header class="live-head">
      <h1>{t.live.title}</h1>
      {now !== undefined && (
        <p class={`state-line ${now.ready && !now.draining ? "good" : "warn"}`} role="status">
          {now.draining
            ? t.live.state.draining
            : now.ready
              ? t.live.state.ready
              : t.live.state.notReady(now.reason ?? "")}
        </p>
      )}
      {feedState.value !== "refused" && (
        <button
          type="button"
          class="small"
          disabled={now === undefined || now.draining}
          onClick={() => setAsked(true)}
        >
          {t.live.drain}
        </button>
      )}
      {asked && (
        <Confirm
          title={t.live.drainTitle}
          why={t.live.drainWhy}
          action={t.live.drain}
          danger
          onConfirm={() => void drain()}
          onClose={() => setAsked(false)}
        />
      )}
    </header>
  );
}
