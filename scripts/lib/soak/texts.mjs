/**
 * What every request has to answer: a fixed set of tasks, each asked once of a server that nobody
 * disturbs. Texts depend on the prompt alone (fake engine, or greedy and one at a time).
 */
import { Chance } from "../chance.mjs";

/**
 * @typedef {{ index: number, prompt: string, tokens: number }} Task
 * @typedef {{ text: string, input: number, output: number }} Answer
 * @typedef {{ responses: Answer, chat: Answer, completions: Answer }} Answers
 */

const kinds = ["responses", "chat", "completions"];
const tasksAtOnce = 8;
const subjects = "rivers lighthouses bread tides clocks bees maps comets bridges rain".split(" ");

/** @param {{ count: number, tokensMin: number, tokensMax: number, seed: number }} options @returns {Task[]} */
export function makeTasks({ count, tokensMin, tokensMax, seed }) {
  const chance = new Chance(seed);
  return Array.from({ length: count }, (_, index) => ({
    index,
    prompt: `Tell me about ${chance.pick(subjects)}, number ${index}.`,
    tokens: chance.integer(tokensMin, tokensMax),
  }));
}

/** Body of a request for a task, without what a client adds. */
export function bodyOf(kind, { prompt, tokens }) {
  if (kind === "responses") return { input: prompt, max_output_tokens: tokens, temperature: 0 };
  const common = { max_tokens: tokens, temperature: 0 };
  if (kind === "completions") return { prompt, ...common };
  return { messages: [{ role: "user", content: prompt }], ...common };
}

export const pathOf = (kind) =>
  ({ responses: "/v1/responses", chat: "/v1/chat/completions", completions: "/v1/completions" })[
    kind
  ];

/** @returns {Answer} What a whole answer says. */
export function answerOf(kind, body) {
  const { usage } = body;
  if (kind === "responses")
    return { text: outputOf(body), input: usage.input_tokens, output: usage.output_tokens };
  const [choice] = body.choices;
  const text = kind === "chat" ? choice.message.content : choice.text;
  return { text, input: usage.prompt_tokens, output: usage.completion_tokens };
}

export function outputOf({ output }) {
  return output.flatMap(({ content }) => content.map(({ text }) => text)).join("");
}

export function isSame(a, b) {
  return a.text === b.text && a.input === b.input && a.output === b.output;
}

/** @param {string} url @param {Task[]} tasks @returns {Promise<Answers[]>} By index of the task. */
export async function undisturbed(url, tasks) {
  const answers = tasks.map(() => ({}));
  const jobs = tasks.flatMap((task) => kinds.map((kind) => ({ task, kind })));
  const run = async () => {
    for (let job = jobs.shift(); job !== undefined; job = jobs.shift())
      answers[job.task.index][job.kind] = await answer(url, job);
  };
  await Promise.all(Array.from({ length: tasksAtOnce }, run));
  return answers;
}

async function answer(url, { task, kind }) {
  const store = kind === "responses" ? { store: false } : {};
  const sent = await fetch(url + pathOf(kind), {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ ...bodyOf(kind, task), ...store }),
  });
  const body = await sent.json();
  if (!sent.ok) throw new Error(`Undisturbed ${kind} was refused: ${JSON.stringify(body)}`);
  return answerOf(kind, body);
}
