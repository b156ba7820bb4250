/** `/`: what runs here and how to reach it, as one page without scripts or anything from outside. */
import { createHash } from "node:crypto";
import type { Engine, ModelInfo, WorkerInfo } from "../../engine/api.js";
import { missingParts } from "../../engine/workers/native-parts.js";
import type { Keys } from "../access/keys.js";

const style = `
:root { color-scheme: light dark; --line: color-mix(in srgb, currentColor 18%, transparent); }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 52rem; margin: 3rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin: 0; } h2 { font-size: 1.05rem; margin: 2.2rem 0 .5rem; }
p { margin: .3rem 0; } .state { font-weight: 600; } .ready { color: #157f3b; } .waiting { color: #b45309; }
@media (prefers-color-scheme: dark) { .ready { color: #4ade80; } .waiting { color: #fbbf24; } }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .35rem .8rem .35rem 0; border-bottom: 1px solid var(--line); }
th { font-weight: 500; opacity: .7; } .number { text-align: right; }
.scroll { overflow-x: auto; }
pre { border: 1px solid var(--line); border-radius: .4rem; padding: .8rem; overflow-x: auto; font-size: .875rem; }
`;

const styleHash = createHash("sha256").update(style).digest("base64");

/** Nothing is loaded, nothing runs, nobody frames it. */
export const contentSecurityPolicy = `default-src 'none'; style-src 'sha256-${styleHash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`;

const refreshS = 5;

/** `mayShow`: the caller has a key that may see it, or none is needed. */
export function statusPage(engine: Engine, access: { mayShow: boolean; keys: Keys }): string {
  const content = access.mayShow
    ? `${readiness(engine)}${models(engine.models())}${workers(engine.workers())}`
    : "<p>This server needs a key that may see this. Send it as <code>Authorization: Bearer</code>.</p>";
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="${refreshS}">
<title>mlx-serving</title>
<style>${style}</style>
</head>
<body>
<h1>mlx-serving</h1>
${content}
${connecting(access.keys.required)}
</body>
</html>
`;
}

function readiness(engine: Engine): string {
  const state = engine.readiness();
  if (state.ready) return '<p class="state ready" role="status">Ready</p>';
  return `<p class="state waiting" role="status">Not ready: ${escaped(state.reason)}</p>`;
}

function models(all: readonly ModelInfo[]): string {
  const rows = all.map((model) => [
    `${escaped(model.id)}${model.isDefault ? " (default)" : ""}`,
    model.ready ? "ready" : "not ready",
    model.contextMax === undefined ? "–" : model.contextMax.toLocaleString("en"),
  ]);
  return `<h2>Models</h2>${table(["Model", "State", "Context, tokens"], rows)}`;
}

function workers(all: readonly WorkerInfo[]): string {
  const rows = all.map((worker) => [
    escaped(worker.id),
    escaped(worker.model),
    escaped(stateOf(worker)),
    escaped(worker.backend ?? "–"),
    escaped(nativeOf(worker)),
    String(worker.running),
    String(worker.queued),
    String(worker.restarts),
  ]);
  const heads = ["Worker", "Model", "State", "Backend", "Native", "Running", "Waiting", "Restarts"];
  return `<h2>Workers</h2>${table(heads, rows)}`;
}

/** The parts in use, and those that should be and why they are not. */
function nativeOf({ native }: WorkerInfo): string {
  if (native === null) return "–";
  if (native.disabled !== undefined) return native.disabled;
  const used = Object.entries(native.parts).filter(([, { on }]) => on);
  const on = used.length === 0 ? "off" : used.map(([name]) => name).join(", ");
  return [on, ...missingParts(native.parts).map((text) => `missing: ${text}`)].join("; ");
}

function stateOf({ state, loading, reason }: WorkerInfo): string {
  if (state === "loading" && loading !== undefined && loading.total > 0) {
    const percent = Math.floor((loading.done / loading.total) * 100);
    return `${state}: ${loading.what} ${percent} %`;
  }
  return reason === undefined ? state : `${state}: ${reason}`;
}

function table(heads: readonly string[], rows: readonly (readonly string[])[]): string {
  const head = heads.map((text) => `<th scope="col">${text}</th>`).join("");
  const body = rows
    .map((cells) => `<tr>${cells.map((cell) => `<td>${cell}</td>`).join("")}</tr>`)
    .join("");
  return `<div class="scroll"><table><thead><tr>${head}</tr></thead><tbody>${body}</tbody></table></div>`;
}

function connecting(needsKey: boolean): string {
  const key = needsKey ? "process.env.MLX_SERVING_API_KEY" : '"none"';
  const example = `import OpenAI from "openai";

const client = new OpenAI({ baseURL: "<this address>/v1", apiKey: ${key} });
const response = await client.responses.create({ input: "Why is the sky blue?" });
console.log(response.output_text);`;
  return `<h2>Connecting</h2>
<p>Any OpenAI client works with this address and <code>/v1</code> as its base URL:
chat completions, completions, responses, and responses over WebSocket.</p>
<pre><code>${escaped(example)}</code></pre>
<p>Also here: <code>/health</code>, <code>/ready</code>, <code>/metrics</code>, <code>/v1/models</code>, <code>/admin/workers</code>.</p>`;
}

const entities: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (character) => entities[character]!);
}
