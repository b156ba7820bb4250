/** What the gate of the native parts compares: pairs of servers, and the loads that both get. */

/** All parts, as src-ts/worker/figures.ts has them. */
export const partNames = [
  "pool",
  "metrics",
  "blas",
  "products",
  "blocks",
  "attention",
  "sampling",
  "kernels",
];

/**
 * @typedef {{
 *   id: string,
 *   about: string,
 *   on: string,
 *   off: string,
 *   floatModel?: boolean,
 *   slow?: boolean,
 *   longPrompt?: boolean,
 *   body?: Record<string, unknown>,
 * }} Pair `on` and `off`: MLX_SERVING_NATIVE_PARTS of the two servers, `none` for no part; `floatModel`:
 *   the model without its quantization; `slow`: short loads, since one side takes long; `body`: fields of
 *   every request; `longPrompt`: one more load, since the part gains with the length of a prompt.
 *
 * @typedef {{
 *   id: string,
 *   title: string,
 *   figure: "tokens/s" | "end to end p50",
 *   load: { streams: number, requests: number, promptTokens: number, maxTokens: number },
 * }} Load `figure`: whose ratio counts.
 */

const without = (...left) => partNames.filter((part) => !left.includes(part)).join(",");

/**
 * A part is measured in what it would run in: all parts against all others. Where that leaves it without
 * work (a BLAS beside products of our own), also where it has some.
 * @type {readonly Pair[]}
 */
export const pairs = [
  { id: "pool", about: "frames staged in pooled buffers", on: "all", off: without("pool") },
  { id: "metrics", about: "collector in C++ or in Python", on: "all", off: without("metrics") },
  {
    id: "module",
    about: "pool and metrics, all of krserve_native",
    on: "all",
    off: without("pool", "metrics"),
  },
  { id: "blas", about: "OpenBLAS, quantized model", on: "all", off: without("blas") },
  {
    id: "blas-float",
    about: "OpenBLAS, float32 model",
    on: "all",
    off: without("blas"),
    floatModel: true,
    slow: true,
  },
  {
    id: "products",
    about: "quantized products and embedding",
    on: "all",
    off: without("products"),
    slow: true,
  },
  {
    id: "blocks",
    about: "norms, rotary, attention, activation, fused blocks",
    on: "all",
    off: without("blocks"),
  },
  {
    id: "attention",
    about: "attention of a prompt's chunk on packed keys and values",
    on: "all",
    off: without("attention"),
    longPrompt: true,
  },
  {
    id: "sampling",
    about: "from logits to tokens; temperature 0.7, top_p 0.9",
    on: "all",
    off: without("sampling"),
    body: { temperature: 0.7, top_p: 0.9 },
  },
  { id: "kernels", about: "GPU kernels", on: "all", off: without("kernels") },
  { id: "together", about: "everything against nothing", on: "all", off: "none", slow: true },
];

/**
 * @param {Pair} pair
 * @returns {Load[]}
 */
export function loadsOf({ slow = false, longPrompt = false }) {
  const maxTokens = slow ? 24 : 64;
  const streams = (count) => ({
    id: `streams-${count}`,
    title: `${count} stream${count === 1 ? "" : "s"}, tokens/s`,
    figure: "tokens/s",
    load: {
      streams: count,
      requests: count === 1 && !slow ? 4 : count,
      promptTokens: 32,
      maxTokens,
    },
  });
  const single = {
    id: "single",
    title: "one request, 300-token prompt, end to end",
    figure: "end to end p50",
    load: { streams: 1, requests: slow ? 1 : 4, promptTokens: 270, maxTokens: 8 },
  };
  const long = {
    id: "long",
    title: "one request, 4,000-token prompt, end to end",
    figure: "end to end p50",
    load: { streams: 1, requests: 1, promptTokens: 3970, maxTokens: 1 },
  };
  return [single, streams(1), streams(8), streams(16), ...(longPrompt ? [long] : [])];
}

/** The environment of a server that uses exactly these parts. */
export function environmentFor(parts) {
  return parts === "none"
    ? { MLX_SERVING_NATIVE: "off" }
    : { MLX_SERVING_NATIVE: "auto", MLX_SERVING_NATIVE_PARTS: parts };
}
