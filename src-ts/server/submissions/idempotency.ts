/** Which bodies ask for the same: what the engine compares under one idempotency key. */
import { createHash } from "node:crypto";

/**
 * The key as the engine compares it. Transport (streaming or not, ids that only correlate) is no part
 * of the fingerprint: a retry may ask for the same answer in another form.
 */
export function idempotencyOf(
  route: string,
  key: string | undefined,
  body: object,
): { key: string; fingerprint: string } | undefined {
  if (key === undefined) return undefined;
  const hash = createHash("sha256").update(route).update(canonical(body));
  return { key, fingerprint: hash.digest("hex") };
}

/** The same of one of several choices. */
export function ofChoice<T extends { key: string }>(idempotency: T | undefined, index: number) {
  return idempotency && { ...idempotency, key: `${idempotency.key}#${index}` };
}

const transportFields = new Set([
  "stream",
  "stream_options",
  "client_metadata",
  "type",
  "event_id",
  "stream_id",
]);

function canonical(body: object): string {
  const fields = Object.entries(body).filter(
    ([name, value]) =>
      value != null &&
      !transportFields.has(name) &&
      !name.startsWith("mlx_serving:") &&
      // Nobody has to say that an answer is wanted.
      !(name === "generate" && value === true),
  );
  return JSON.stringify(Object.fromEntries(fields), (_key, value: unknown) => {
    if (typeof value === "bigint") return String(value);
    return typeof value === "object" && value !== null && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1)))
      : value;
  });
}
