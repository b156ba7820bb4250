// expect: TS2307
// Only what the package exports is public.
export { Runner } from "mlx-serving/dist/src-ts/engine/runner.js";
