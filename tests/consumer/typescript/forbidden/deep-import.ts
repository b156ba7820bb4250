// expect: TS2307
// Only what the package exports is public.
export { Loop } from "mlx-serving/dist/src-ts/engine/loop.js";
