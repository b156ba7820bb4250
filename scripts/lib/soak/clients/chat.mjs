/** Chat completions and completions, streamed or not: complete and right, or clearly broken off. */
import { setTimeout as sleep } from "node:timers/promises";
import { answerOf, bodyOf, isSame, pathOf } from "../texts.mjs";
import { Broken, eventsOf, refusalOf, send, textOf } from "./http.mjs";
import { differenceOf } from "./judge.mjs";

const pauseMs = 50;
/** While the server is down or ends, asking it is of no use. */
const pauseAfterBreakMs = 500;

/** @param {import("../world.mjs").World} world @param {"chat" | "completions"} api */
export async function runChat(world, api) {
  const chance = world.chance.fork();
  while (!world.stopping) {
    const plan = {
      ...{ api, task: chance.pick(world.tasks), since: performance.now(), left: false },
      stream: chance.in(0.6),
      leaveAfterMs: chance.in(0.1) ? chance.between(10, 800) : undefined,
    };
    plan.kind = `${api}, ${plan.stream ? "streamed" : "whole"}`;
    plan.about = { since: plan.since, context: { task: plan.task.index } };
    await run(world, plan);
    await sleep(pauseMs);
  }
}

async function run(world, plan) {
  const { ledger } = world;
  const { kind, about } = plan;
  try {
    const answer = await ask(world, plan);
    if (answer.statusCode !== 200) await judgeRefusal(ledger, plan, answer);
    else await (plan.stream ? readStream(world, plan, answer) : readWhole(world, plan, answer));
  } catch (error) {
    if (!(error instanceof Broken)) throw error;
    if (plan.left) ledger.outcome(kind, "left by its client");
    else {
      world.brokenOff(kind, "broken off", error, about);
      await sleep(pauseAfterBreakMs);
    }
  }
}

async function ask(world, plan) {
  const { api, task, stream, leaveAfterMs } = plan;
  const options = stream ? { stream, stream_options: { include_usage: true } } : {};
  const body = { ...bodyOf(api, task), ...options };
  const answer = await send(world.url + pathOf(api), { method: "POST", body });
  if (leaveAfterMs !== undefined)
    sleep(leaveAfterMs).then(() => {
      plan.left = true;
      answer.destroy();
    });
  return answer;
}

async function judgeRefusal(ledger, { kind, about }, answer) {
  const { text, isFair } = await refusalOf(answer);
  if (isFair) ledger.outcome(kind, `refused: ${text}`);
  else ledger.breach(kind, `refused: ${text}`, about);
  await sleep(pauseAfterBreakMs);
}

async function readWhole(world, plan, answer) {
  judge(world, plan, answerOf(plan.api, JSON.parse(await textOf(answer))));
}

async function readStream(world, plan, answer) {
  const got = { text: "", input: 0, output: 0 };
  let isDone = false;
  for await (const data of eventsOf(answer)) {
    if (data === "[DONE]") isDone = true;
    else {
      const chunk = JSON.parse(data);
      if (chunk.error) return judgeError(world, plan, chunk.error);
      take(got, chunk);
    }
  }
  if (isDone) judge(world, plan, got);
  else throw new Broken("ended without [DONE]", answer.port);
}

function take(got, { choices, usage }) {
  const [choice] = choices;
  const text = choice?.delta?.content ?? choice?.text;
  if (text) got.text += text;
  if (usage) Object.assign(got, { input: usage.prompt_tokens, output: usage.completion_tokens });
}

function judgeError({ ledger }, { kind, about }, { code }) {
  if (code !== "server_shutdown" && code !== "server_draining")
    return ledger.breach(kind, `failed with ${code}`, about);
  ledger.excusable(kind, "failed by a drain", { excuse: "drain", ...about });
}

function judge({ answers, ledger }, { api, task, kind, about }, got) {
  const expected = answers[task.index][api];
  if (isSame(expected, got)) ledger.outcome(kind, "completed");
  else if (expected.text !== got.text)
    ledger.breach(kind, differenceOf(expected.text, got.text), about);
  else ledger.breach(kind, `usage ${got.input} + ${got.output}`, about);
}
