/**
 * What surviving costs, for `/metrics`: migrations, replayed tokens, restarts, resumes, readers that are behind, the
 * data folder; and whether the server takes work.
 */
import { Counter, Gauge, type Registry } from "prom-client";
import type { Engine, StorageInfo } from "../../engine/api.js";
import { version } from "../../protocol/version.js";

/** Readers that came back, counted by whoever lets them in. */
export class Resumes {
  readonly counts = { sse: 0, websocket: 0 };

  take(transport: keyof Resumes["counts"]): void {
    this.counts[transport]++;
  }
}

/** Returns how to stop counting. */
export function addReliabilityMetrics(
  registry: Registry,
  prefix: string,
  engine: Engine,
  resumes: Resumes,
): () => void {
  const described = (name: string, help: string) => ({
    name: `${prefix}${name}`,
    help,
    registers: [registry],
  });
  addServer(described, engine);
  addRestarts(described, engine);
  addResumes(described, resumes);
  addLag(described, engine);
  addStorage(described, engine);
  const migrated = new Counter({
    ...described("requests_migrated_total", "Times that a request lost its worker and went on."),
    labelNames: ["model_name", "reason"],
  });
  const replayed = new Counter({
    ...described(
      "replayed_tokens_total",
      "Tokens of prompts and answers that another worker was given to compute again.",
    ),
    labelNames: ["model_name"],
  });
  return engine.observe({
    migrated: ({ model }, { reason }) => migrated.inc({ model_name: model, reason }),
    replayed: ({ model }, { tokens }) => replayed.inc({ model_name: model }, tokens),
  });
}

type Described = (
  name: string,
  help: string,
) => { name: string; help: string; registers: Registry[] };

function addServer(described: Described, engine: Engine): void {
  new Gauge({
    ...described("ready", "1 while a worker of the default model can take work."),
    collect() {
      this.set(engine.readiness().ready ? 1 : 0);
    },
  });
  new Gauge({
    ...described("build_info", "1, with the version that runs."),
    labelNames: ["version"],
  }).set({ version }, 1);
}

function addRestarts(described: Described, engine: Engine): void {
  new Counter({
    ...described("worker_restarts_total", "New processes of a worker, after its first."),
    labelNames: ["worker", "model_name"],
    collect() {
      this.reset();
      for (const { id, model, restarts } of engine.workers())
        this.inc({ worker: id, model_name: model }, restarts);
    },
  });
}

function addResumes(described: Described, { counts }: Resumes): void {
  new Counter({
    ...described("responses_resumed_total", "Readers that came back to a response's log."),
    labelNames: ["transport"],
    collect() {
      this.reset();
      for (const [transport, count] of Object.entries(counts)) this.inc({ transport }, count);
    },
  });
}

function addLag(described: Described, engine: Engine): void {
  const gauge = (name: string, help: string, read: () => number): void => {
    new Gauge({
      ...described(name, help),
      collect() {
        this.set(read());
      },
    });
  };
  gauge("readers", "Readers of responses.", () => engine.readerLag().readers);
  gauge(
    "reader_lag_entries",
    "Entries of its log that the slowest reader has not taken.",
    () => engine.readerLag().max,
  );
}

/** Without a folder there is nothing to tell. */
function addStorage(described: Described, engine: Engine): void {
  if (engine.storage() === undefined) return;
  const gauge = (name: string, help: string, read: (info: StorageInfo) => number): void => {
    new Gauge({
      ...described(name, help),
      collect() {
        const info = engine.storage();
        if (info !== undefined) this.set(read(info));
      },
    });
  };
  gauge("data_folder_bytes", "What stored responses take on disk.", ({ bytes }) => bytes);
  gauge(
    "data_folder_live_bytes",
    "Of it, what counts; the rest is removed in time.",
    ({ liveBytes }) => liveBytes,
  );
  gauge("data_folder_segments", "Files that they are in.", ({ segments }) => segments);
  gauge("data_folder_writable", "0 while the data folder can't be written.", ({ failing }) =>
    failing ? 0 : 1,
  );
}
