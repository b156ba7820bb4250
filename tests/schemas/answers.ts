/**
 * What both ways of asking share: which schemas, how many answers of each, how these are drawn, and what is counted.
 * What ends strings and lists is made likelier: for some answers of each schema a little, for others a lot. One that
 * is cut all the same is asked for again with more tokens.
 */
import type { Engine, Response, SubmissionInput } from "../../src-ts/create-engine.js";
import { createEngine } from "../../src-ts/create-engine.js";
import { closingTokens } from "../support/brevity.js";
import { namedSchemas } from "../support/schemas.js";

const { env } = process;

/** Streams of the batch. */
const maxBatch = 64;
/** Schemas at a time: more answers than streams, so that those that take long don't leave the batch empty. */
export const schemasAtOnce = 12;
/** None is refused for want of room. */
const maxQueue = 4_096;
const schemasBetweenReports = 10;
const tokensMax = [200, 800] as const;
/** By the number of the answer, round and round. */
const likelierBy = [5, 8, 11, 14];

export const settings = {
  answersOfEach: Number(env.SCHEMAS_ANSWERS ?? 20),
  schemas: namedSchemas(
    env.SCHEMAS_MATCHING ?? "",
    Number(env.SCHEMAS_EVERY ?? 1),
    Number(env.SCHEMAS_FROM ?? 1),
  ),
  engine: env.SCHEMAS_ENGINE === "fake" ? ("fake" as const) : ("mlx" as const),
};

/** `refused`: schemas; the rest: answers. `longer`: asked for again with more tokens; `cut`: too long for these too. */
export interface Figures {
  refused: number;
  valid: number;
  cut: number;
  longer: number;
  tokens: number;
  seconds: number;
}

export class Answers {
  readonly figures: Figures = { refused: 0, valid: 0, cut: 0, longer: 0, tokens: 0, seconds: 0 };
  readonly #startedAt = performance.now();
  #schemasAnswered = 0;

  private constructor(
    private readonly name: string,
    private readonly engine: Engine,
    private readonly closing: readonly number[],
  ) {}

  static async start(name: string): Promise<Answers> {
    const engine = await createEngine({ maxBatch, maxQueue, engine: settings.engine });
    await engine.whenReady();
    return new Answers(name, engine, settings.engine === "fake" ? [] : closingTokens());
  }

  /** The answer of this number, ended or cut; a refusal is thrown. */
  async ask(submission: SubmissionInput, number: number): Promise<Response> {
    const [most, atLast] = tokensMax;
    const response = await this.#answer(submission, number, most);
    if (response.ending?.kind !== "length") return response;
    this.figures.longer++;
    return this.#answer(submission, number, atLast);
  }

  async #answer(submission: SubmissionInput, number: number, maxTokens: number) {
    const by = likelierBy[number % likelierBy.length]!;
    const logitBias = this.closing.map((token): [number, number] => [token, by]);
    const sampling = { ...submission.sampling, temperature: 1, seed: number, logitBias };
    const response = await this.engine.submit({ ...submission, sampling, maxTokens });
    for await (const _entry of response.read(-1));
    this.figures.tokens += response.tokens.length;
    return response;
  }

  /** What is there so far is said now and then: the whole takes long. */
  answered(outcomes: readonly ("valid" | "cut")[]): void {
    for (const outcome of outcomes) this.figures[outcome]++;
    if (++this.#schemasAnswered % schemasBetweenReports === 0) this.#report();
  }

  async end(): Promise<void> {
    await this.engine.close();
    this.#report();
  }

  #report() {
    this.figures.seconds = Math.round((performance.now() - this.#startedAt) / 1_000);
    process.stdout.write(`${this.name}: ${JSON.stringify(this.figures)}\n`);
  }
}
