/** Requests as rows that move from stage to stage; those that have ended stay for a while. */
import type { Snapshot } from "../../protocol/live.js";
import { format, t } from "../strings.js";
import { Icon } from "../ui/icon.js";
import { hashOf } from "../ui/router.js";
import { cancelRequest } from "./orders.js";
import { type Row, rowsOf, shortId, stages } from "./rows.js";

const { columns } = t.live;
const rowsMax = 120;

export function Requests({ snapshot }: { snapshot: Snapshot }) {
  const rows = rowsOf(snapshot, snapshot.atMs).slice(0, rowsMax);
  const running = rows.filter(({ live }) => live);
  const ended = rows.filter(({ live }) => !live);
  return (
    <section aria-labelledby="requests-title">
      <h2 id="requests-title">
        {t.live.requests}{" "}
        <span class="muted">{t.live.requestCount(running.length, snapshot.requestCount)}</span>
      </h2>
      {rows.length === 0 ? (
        <p class="muted">{t.live.noRequests}</p>
      ) : (
        <section class="requests card" tabIndex={0} aria-label={t.live.requests}>
          <table>
            <thead>
              <tr>
                <th scope="col">{columns.id}</th>
                <th scope="col">{columns.stage}</th>
                <th scope="col">{columns.worker}</th>
                <th scope="col" class="num">
                  {columns.prompt}
                </th>
                <th scope="col" class="num">
                  {columns.output}
                </th>
                <th scope="col" class="num">
                  {columns.ttft}
                </th>
                <th scope="col" class="num">
                  {columns.age}
                </th>
                <th scope="col">
                  <span class="visually-hidden">{columns.actions}</span>
                </th>
              </tr>
            </thead>
            <tbody>
              {running.map((row) => (
                <RequestRow key={row.id} row={row} />
              ))}
              {ended.length > 0 && (
                <tr class="divider">
                  <th scope="rowgroup" colSpan={8}>
                    {t.live.recent}
                  </th>
                </tr>
              )}
              {ended.map((row) => (
                <RequestRow key={row.id} row={row} />
              ))}
            </tbody>
          </table>
        </section>
      )}
    </section>
  );
}

function RequestRow({ row }: { row: Row }) {
  const { id, workerId, promptTokens, cachedTokens, emitted, maxTokens, ttftMs, ageMs } = row;
  return (
    <tr class={row.live ? "running" : "ended"}>
      <td>
        <a class="mono" href={hashOf({ view: "live", id })} aria-label={t.live.openRequest(id)}>
          {shortId(id)}
        </a>
      </td>
      <td>
        <Track row={row} />
      </td>
      <td data-name={columns.worker}>{workerId ?? t.common.none}</td>
      <td class="num" data-name={columns.prompt}>
        {promptTokens === undefined ? t.common.none : format.number(promptTokens)}
        {cachedTokens > 0 && <span class="muted cached"> {t.live.cachedOf(cachedTokens)}</span>}
      </td>
      <td class="num" data-name={columns.output}>
        {maxTokens === undefined ? format.number(emitted) : t.live.outputOf(emitted, maxTokens)}
      </td>
      <td class="num" data-name={columns.ttft}>
        {ttftMs === undefined ? t.common.none : format.duration(ttftMs)}
      </td>
      <td class="num" data-name={columns.age}>
        {format.duration(ageMs)}
      </td>
      <td class="row-action">
        {row.live && row.state !== "cancelling" && (
          <button
            type="button"
            class="icon-button"
            aria-label={t.live.cancelRequest(id)}
            title={t.common.cancel}
            onClick={() => void cancelRequest(id)}
          >
            <Icon name="close" />
          </button>
        )}
      </td>
    </tr>
  );
}

/** The way of a request: what lies behind it, and how far it is where it is now. */
function Track({ row }: { row: Row }) {
  const { stage, progress, migrations, failed } = row;
  const at = stages.indexOf(stage);
  return (
    <div class="track-place">
      <div class={`track${failed ? " failed" : ""}`} aria-hidden="true">
        {stages.map((name, i) => (
          <span key={name} class={i < at ? "past" : i === at ? `now stage-${name}` : ""}>
            {i === at && progress !== undefined && <Bar share={progress} />}
          </span>
        ))}
      </div>
      <span class="track-text">
        {stateText(row)}
        {migrations > 0 && <span class="badge warn">{t.live.migratedTimes(migrations)}</span>}
      </span>
    </div>
  );
}

function Bar({ share }: { share: number }) {
  return <i style={{ width: `${share * 100}%` }} />;
}

function stateText({ live, state, prefill }: Row): string {
  if (!live) return t.live.finish[state] ?? state;
  if (prefill !== undefined) return t.live.prefillOf(prefill.done, prefill.total);
  return t.live.states[state as keyof typeof t.live.states] ?? state;
}
