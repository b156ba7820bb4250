/** Looks at a server before an agent is sent there: whether it is ours, what it serves, how much fits. */

import { didYouMean } from "../nearest.js";
import type { Target } from "./agents/agent.js";
import { keyRefused } from "./client-key.js";
import { CommandError, exitCodes } from "./failure.js";

const answerTimeoutMs = 5_000;
const ourName = "mlx-serving";
const keyProblems = new Set(["missing_api_key", "invalid_api_key", "expired_api_key"]);

interface ModelRow {
  id: string;
  owned_by?: unknown;
}

interface WorkerRow {
  model?: unknown;
  limits?: { contextMax?: number };
}

/** Whether a server of ours is there. Throws CommandError for one that isn't ours. */
export async function isOurs(url: string): Promise<boolean> {
  const answer = await ask(url, "/v1/models", undefined);
  if (answer === undefined) return false;
  if (isOurAnswer(answer)) return true;
  throw new CommandError(
    `What answers at ${url} is not mlx-serving. Stop it, choose another port with MLX_SERVING_PORT, or name a server with --url.`,
  );
}

/** What an agent gets to know. Throws CommandError where it could do nothing there. */
export async function targetAt(
  url: string,
  { model, apiKey }: { model: string | undefined; apiKey: string | undefined },
): Promise<Target> {
  const answer = await ask(url, "/v1/models", apiKey);
  if (answer === undefined) {
    throw new CommandError(
      `No server answers at ${url}. Start one with mlx-serving serve, or leave --url out.`,
    );
  }
  if (!isOurAnswer(answer)) throw new CommandError(`What answers at ${url} is not mlx-serving.`);
  if (answer.status === 401) {
    throw keyRefused(apiKey, messageOf(answer.body));
  }
  const names = modelsOf(answer.body).map(({ id }) => id);
  const chosen = model ?? names[0]!;
  if (!names.includes(chosen)) {
    const problem = `The server at ${url} has no model "${chosen}"; there is ${names.join(", ")}.${didYouMean(chosen, names)}`;
    throw new CommandError(problem, exitCodes.usage);
  }
  return { url, model: chosen, apiKey, contextTokens: await contextOf(url, chosen, apiKey) };
}

/** By an alias or before a worker has loaded it, the smallest of what is known. */
async function contextOf(
  url: string,
  model: string,
  apiKey: string | undefined,
): Promise<number | undefined> {
  const answer = await ask(url, "/admin/workers", apiKey);
  const workers = Array.isArray(answer?.body) ? (answer.body as WorkerRow[]) : [];
  const known = workers.filter(({ limits }) => limits?.contextMax !== undefined);
  const own = known.filter((worker) => worker.model === model);
  const sizes = (own.length > 0 ? own : known).map(({ limits }) => limits!.contextMax!);
  return sizes.length > 0 ? Math.min(...sizes) : undefined;
}

interface Answer {
  status: number;
  /** Undefined: no JSON. */
  body: unknown;
}

const modelsOf = (body: unknown) =>
  ((body as { data?: unknown } | undefined)?.data ?? []) as ModelRow[];

const messageOf = (body: unknown) =>
  (body as { error?: { message?: string } } | undefined)?.error?.message;

function isOurAnswer({ status, body }: Answer): boolean {
  if (status === 401) {
    const code = (body as { error?: { code?: unknown } } | undefined)?.error?.code;
    return typeof code === "string" && keyProblems.has(code);
  }
  const models = modelsOf(body);
  return Array.isArray(models) && models.some((row) => row.owned_by === ourName);
}

/** Undefined: nothing that speaks HTTP. */
async function ask(
  url: string,
  path: string,
  apiKey: string | undefined,
): Promise<Answer | undefined> {
  const headers: Record<string, string> =
    apiKey === undefined ? {} : { authorization: `Bearer ${apiKey}` };
  let answer: Response;
  try {
    const signal = AbortSignal.timeout(answerTimeoutMs);
    answer = await fetch(`${url}${path}`, { headers, signal });
  } catch {
    return undefined;
  }
  const body: unknown = await answer.json().catch(() => undefined);
  return { status: answer.status, body };
}
