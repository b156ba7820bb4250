/** The first page: what runs here, a chat at once, and how programs connect. */
import { useEffect, useId, useRef, useState } from "preact/hooks";
import { openId } from "../chat/store.js";
import { send } from "../chat/views/chat.js";
import { Composer } from "../chat/views/composer.js";
import { escaped } from "../markdown/blocks.js";
import { highlighted } from "../markdown/languages.js";
import { nodesOf } from "../markdown/sanitize.js";
import { feedState, snapshot, watch } from "../server/feed.js";
import { access } from "../server/session.js";
import { t } from "../strings.js";
import { CopyButton } from "../ui/copy.js";
import { hashOf } from "../ui/router.js";
import { type Snippet, snippetsOf } from "./snippets.js";

export function StartView() {
  useEffect(watch, []);
  return (
    <section class="start">
      <Running />
      <div class="start-ask">
        <h2 id="start-ask">{t.start.ask}</h2>
        <Composer
          running={undefined}
          onSend={(sent) => {
            openId.value = undefined;
            send(sent);
          }}
          onStop={() => {}}
        />
        <ul class="examples">
          {t.start.examples.map((text) => (
            <li key={text}>
              <button
                type="button"
                class="chip"
                onClick={() => {
                  openId.value = undefined;
                  send({ text, attachments: [] });
                }}
              >
                {text}
              </button>
            </li>
          ))}
        </ul>
      </div>
      <Connect />
    </section>
  );
}

function Running() {
  const now = snapshot.value;
  if (now === undefined)
    return (
      <header class="start-head">
        <h1>{t.product}</h1>
        {feedState.value !== "refused" && <p class="muted">{t.start.loading}</p>}
      </header>
    );
  const { models, workers, ready, draining, reason, requestCount } = now;
  const backend = workers.find((worker) => worker.backend !== undefined)?.backend;
  const up = workers.filter(({ state }) => state === "ready").length;
  return (
    <header class="start-head">
      <h1>{draining ? t.start.draining : ready ? t.start.running : t.start.waiting}</h1>
      <p class={`state-line ${ready && !draining ? "good" : "warn"}`} role="status">
        {ready ? t.start.ready : (reason ?? t.start.notReady)}
      </p>
      <ul class="what-runs">
        {models.map((model) => (
          <li key={model.id} class="card">
            <strong>{model.id}</strong>
            <span class="muted">
              {[
                model.isDefault && models.length > 1 ? t.start.default : undefined,
                model.contextMax === undefined ? undefined : t.start.context(model.contextMax),
                model.ready ? undefined : t.start.notReady,
              ]
                .filter((part) => part !== undefined)
                .join(" · ")}
            </span>
          </li>
        ))}
        <li class="card">
          <strong>{t.start.workers(up, workers.length)}</strong>
          <span class="muted">
            {backend !== undefined && `${t.start.backend(backend)} · `}
            {t.start.requests(requestCount)} ·{" "}
            <a href={hashOf({ view: "live", id: undefined })}>{t.start.live}</a>
          </span>
        </li>
      </ul>
    </header>
  );
}

function Connect() {
  const now = snapshot.value;
  const model = now?.models.find(({ isDefault }) => isDefault)?.id ?? "default";
  const needsKey = access.value === "signedIn";
  const { origin } = location;
  const snippets = snippetsOf({ origin, needsKey, model });
  const [chosen, setChosen] = useState(snippets[0]!.id);
  const snippet = snippets.find(({ id }) => id === chosen) ?? snippets[0]!;
  const base = useId();
  return (
    <section class="connect" aria-labelledby="connect-title">
      <h2 id="connect-title">{t.start.connect}</h2>
      <p class="muted">{t.start.connectWhy}</p>
      <p class="address">
        <code>{origin}/v1</code>
        <CopyButton text={() => `${origin}/v1`} label={t.common.copy} words />
      </p>
      <div class="card tabs">
        <div
          role="tablist"
          aria-labelledby="connect-title"
          class="tab-list"
          onKeyDown={(event) => {
            const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
            if (step === undefined) return;
            const at = snippets.findIndex(({ id }) => id === chosen);
            const next = snippets[(at + step + snippets.length) % snippets.length]!;
            setChosen(next.id);
            document.getElementById(`${base}-${next.id}`)?.focus();
          }}
        >
          {snippets.map(({ id, name }) => (
            <button
              key={id}
              id={`${base}-${id}`}
              type="button"
              role="tab"
              aria-selected={id === chosen}
              aria-controls={`${base}-panel`}
              tabIndex={id === chosen ? 0 : -1}
              onClick={() => setChosen(id)}
            >
              {name}
            </button>
          ))}
        </div>
        <div
          role="tabpanel"
          id={`${base}-panel`}
          aria-labelledby={`${base}-${chosen}`}
          class="snippet"
        >
          <CopyButton text={() => snippet.code} label={t.chat.copyCode} words />
          <Code snippet={snippet} />
        </div>
      </div>
      {chosen === "agents" && <p class="muted">{t.start.agentsNote}</p>}
      {needsKey && <p class="muted">{t.start.keyNote}</p>}
      <p class="muted">
        <a href="/docs">{t.start.documentation}</a> · {t.start.more}{" "}
        <a href="/openapi.json">/openapi.json</a>, <a href="/asyncapi.json">/asyncapi.json</a>
      </p>
    </section>
  );
}

function Code({ snippet: { code, language } }: { snippet: Snippet }) {
  const place = useRef<HTMLElement>(null);
  useEffect(() => {
    place.current?.replaceChildren(nodesOf(highlighted(code, language) ?? escaped(code)));
  }, [code, language]);
  return (
    <pre tabIndex={0}>
      <code ref={place} />
    </pre>
  );
}
