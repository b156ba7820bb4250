// Seeds in which something was found once, or would be again: each shows the mistake that it names when
// that is made. What a seed stands for changes with `scenario.ts`; the run of the mutations tells the
// first seed that catches each.

/** @type {{ seed: number, found: string }[]} */
export const keptSeeds = [
  { seed: 27, found: "a worker that was restarted while the server stopped kept it from stopping" },
  { seed: 35, found: "who read a stored response that was deleted waited for ever" },
  { seed: 146, found: "what was turned away was found on disk after a restart" },
  { seed: 282, found: "a cancellation before the answer was not sent" },
  { seed: 333, found: "who must be alone was not" },
  { seed: 510, found: "a part was taken though one before it was missing" },
  { seed: 1680, found: "what waited behind an interrupted response was taken for the rest of it" },
  { seed: 1750, found: "memory that ran out before a worker had said hello was a bug of nobody's" },
  { seed: 9623, found: "a response that came to a socket full of errors waited for ever" },
];
