/** What lm-eval said through a server, beside what it said of mlx-lm itself. Pure. */

/** Of a continuation's log-likelihood; the native parts add in another order than MLX does. */
export const loglikelihoodDifferenceMax = 0.02;

/**
 * @typedef {{ metrics: Record<string, number>, answers: (string | [number, boolean])[][] }} Scored Of a task: an
 *   answer is a text, or a log-likelihood and whether it is the model's own choice, one for each request.
 * @param {Record<string, Scored>} server
 * @param {Record<string, Scored>} direct
 */
export function compared(server, direct) {
  return Object.keys(direct)
    .sort()
    .map((task) => ({ task, ...comparedTask(server[task], direct[task]) }));
}

function comparedTask(server, direct) {
  const pairs = direct.answers
    .flat()
    .map((expected, index) => [server?.answers.flat()[index], expected]);
  const differences = pairs.map(([answer, expected]) => differenceOf(answer, expected));
  return {
    server: server?.metrics ?? {},
    direct: direct.metrics,
    requests: pairs.length,
    differing: differences.filter((one) => one > loglikelihoodDifferenceMax).length,
    differenceMax: Math.max(0, ...differences),
  };
}

/** Infinite where it isn't the same answer. */
function differenceOf(answer, expected) {
  if (!Array.isArray(answer) || !Array.isArray(expected))
    return answer === expected ? 0 : Number.POSITIVE_INFINITY;
  const [value, isGreedy] = answer;
  const [wanted, isWantedGreedy] = expected;
  return isGreedy === isWantedGreedy ? Math.abs(value - wanted) : Number.POSITIVE_INFINITY;
}

const shown = (value) => (value === undefined ? "none" : Number(value.toFixed(4)).toString());

/** @param {ReturnType<typeof compared>} tasks */
export function tableOf(tasks) {
  const rows = tasks.flatMap(({ task, server, direct, requests, differing, differenceMax }) =>
    Object.keys(direct).map((metric) => [
      task.replace("mlx_serving_", ""),
      metric,
      shown(server[metric]),
      shown(direct[metric]),
      String(requests),
      differing === 0 ? `none (at most ${shown(differenceMax)})` : String(differing),
    ]),
  );
  const head = ["task", "metric", "through the server", "mlx-lm", "requests", "that differ"];
  return [head, head.map(() => "---"), ...rows].map((row) => `| ${row.join(" | ")} |`).join("\n");
}
