// Seeds that have found something once. What a seed stands for changes with `scenario.ts`; what each
// found is in the list of mutations too, where it was one line.

/** @type {{ seed: number, found: string }[]} */
export const keptSeeds = [
  { seed: 35, found: "who read a stored response that was deleted waited for ever" },
  { seed: 1037, found: "a worker that was restarted while the server stopped kept it from stopping" },
  { seed: 1278, found: "what rounding left of the watchdog's wait made it fire again at once" },
];
