/**
 * The messages between orchestrator and worker, one schema each. Owns names and shapes, of both sides: `npm run docs`
 * makes the worker's types (`python/mlx_serving/messages.py`) and its checks (`link/bodies.py`) of them. The framing
 * is in `link.ts`.
 *
 * Token ids travel packed as little-endian u32. `id` is the slot: a number the engine gives to one dispatch of one
 * request (or one `prepare`) and never gives again. In the notes of a schema `check` is the function of
 * `link/checks.py` where there is one of its own, `absent` what is meant where a field isn't there, and `usual` what
 * a message that Python itself makes has where nothing is said.
 */
import { z } from "zod";
import {
  DiskFigures,
  GrammarFigures,
  NativeFigures,
  NativeParts,
  PrefixFigures,
} from "./figures.js";

/** Version of the protocol; `hello` must carry the same. */
export const linkVersion = 3;

const u32 = z.int().min(0).max(0xffff_ffff);
/** A bigint, so that it is packed as an integer and no bit is lost; a small one may be read as a number. */
const u64 = z
  .union([z.bigint().min(0n).max(0xffff_ffff_ffff_ffffn), z.int().min(0)])
  .transform(BigInt)
  .meta({ check: "u64" });
const bytes = z.custom<Uint8Array>((value) => value instanceof Uint8Array, "must be bytes");
const packedTokens = bytes.meta({ check: "token_ids" });
const finite = z.number();
/** Where it is packed as a float, since it needs more than 32 bits. */
const byteCount = z.number().min(0).meta({ check: "byte_count" });
/** Of nothing but what JSON can say. */
const jsonMap = z.record(z.string(), z.unknown()).meta({ check: "json_map" });

/**
 * A function that the model may call. `parameters`: a JSON schema of its arguments. `custom`: it takes one
 * text, which a pattern or a grammar in Lark's way may bind. `kept`: the schema that a grammar keeps, as JSON.
 * `loose`: where the model's way of writing calls can't be kept to all of it, it may be kept to less.
 */
export const Tool = z.strictObject({
  name: z.string(),
  /** Empty: none. */
  description: z.string().meta({ usual: "" }),
  parameters: jsonMap.meta({ check: "json_map", usual: {} }),
  custom: z.boolean().meta({ usual: false }),
  pattern: z.string().optional(),
  lark: z.string().optional(),
  kept: z.string().meta({ check: "json_object_text" }).optional(),
  loose: z.boolean().optional().meta({ absent: false }),
});
export type Tool = z.infer<typeof Tool>;

/** The one tool that must be called. */
export const NamedTool = z.strictObject({ name: z.string() });

export const ToolChoice = z
  .union([z.enum(["none", "auto", "required"]), NamedTool])
  .meta({ usual: "auto" });

/** What may be called, and whether anything must be. `parallel`: more than one call in a turn. */
export const ToolOffer = z.strictObject({
  tools: z.array(Tool),
  choice: ToolChoice,
  parallel: z.boolean().meta({ usual: true }),
});
export type ToolOffer = z.infer<typeof ToolOffer>;

/** `enabled` absent: as the template has it. */
export const ReasoningRequest = z.strictObject({
  enabled: z.boolean().optional(),
  maxTokens: u32.optional(),
});
export type ReasoningRequest = z.infer<typeof ReasoningRequest>;

/** What a chat template or a tokenizer gets. */
export const PrepareInput = z.discriminatedUnion("kind", [
  z.strictObject({
    kind: z.literal("chat"),
    messages: z.array(jsonMap),
    templateArgs: jsonMap.optional().meta({ absent: {} }),
    tools: ToolOffer.optional(),
    reasoning: ReasoningRequest.optional(),
    /** A message of the system's between turns, where the template refuses it, becomes a part of the user's. */
    foldsSystem: z.boolean().optional().meta({ absent: false }),
    /** Tokens of an earlier prompt and its answer: as many as say the same begin this one. */
    previous: packedTokens.optional().meta({ absent: [] }),
  }),
  /** `special` false: without what the tokenizer puts around a text. */
  z.strictObject({
    kind: z.literal("text"),
    text: z.string(),
    special: z.boolean().optional().meta({ absent: true }),
  }),
  z.strictObject({ kind: z.literal("tokens"), tokens: packedTokens }),
  /** Several, each a text or tokens, and each read by itself. */
  z.strictObject({ kind: z.literal("texts"), texts: z.array(z.union([z.string(), packedTokens])) }),
]);
export type PrepareInput = z.infer<typeof PrepareInput>;

/** How the next token is drawn; see `neutral` for what changes nothing. */
export const Sampling = z.strictObject({
  temperature: finite,
  topP: finite,
  topK: u32,
  minP: finite,
  repetitionPenalty: finite,
  presencePenalty: finite,
  frequencyPenalty: finite,
  logitBias: z.array(z.tuple([u32, finite])),
  /** Draws are a function of (seed, position) alone. */
  seed: u64,
  /** Stop strings. */
  stop: z.array(z.string()),
  /** −1: none; 0: the sampled token's; n: the n likeliest too. */
  logprobs: z.int().min(-1).max(20),
});
export type Sampling = z.infer<typeof Sampling>;

/** Of every parameter the value that changes nothing: the likeliest token of all, and no more than it. */
export const neutral: Omit<Sampling, "seed"> = {
  temperature: 0,
  topP: 1,
  topK: 0,
  minP: 0,
  repetitionPenalty: 1,
  presencePenalty: 0,
  frequencyPenalty: 0,
  logitBias: [],
  stop: [],
  logprobs: -1,
};

export const ConstraintKind = z.enum(["json", "regex", "lark", "choice"]);

/** What an answer is kept to. `text`: a JSON schema, a regular expression, a grammar in Lark's way, or a JSON list of texts. */
export const Constraint = z.strictObject({
  kind: ConstraintKind,
  text: z.string(),
});
export type Constraint = z.infer<typeof Constraint>;

/**
 * What is wanted of a prompt in place of an answer. `embed`: a vector of each text, which have these lengths in
 * tokens; `score`: the log probability of each token, and the `top` likeliest in its place.
 */
export const Reading = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("embed"), lengths: z.array(u32) }),
  z.strictObject({ kind: z.literal("score"), top: z.int().min(0).max(20) }),
]);
export type Reading = z.infer<typeof Reading>;

/** The first one goes first. */
export const Priority = z.enum(["interactive", "normal", "batch"]);

/** One request as a worker gets it. `emitted`: tokens that are out already; `maxTokens` counts them too, and 0 asks for the prompt alone. */
export const Admission = z.strictObject({
  id: u32,
  prompt: packedTokens,
  emitted: packedTokens,
  maxTokens: u32,
  sampling: Sampling,
  /** Its text begins a turn of a chat; else it goes on from the prompt. */
  chat: z.boolean().meta({ usual: true }),
  /** Whose prompt goes first; absent: normal. */
  priority: Priority.optional().meta({ absent: "normal" }),
  tools: ToolOffer.optional(),
  reasoning: ReasoningRequest.optional(),
  /** Fake engine only: what the model says, as raw text, in place of its usual text. */
  fakeSay: z.string().optional(),
  constraint: Constraint.optional(),
  /** With `maxTokens` 0. */
  reading: Reading.optional(),
  /** What is computed of its prompt is shared with requests of the same salt alone. */
  salt: z.string().optional().meta({ absent: "" }),
});
export type Admission = z.infer<typeof Admission>;

/** What a turn may consist of beside its message, and what is played in its place. */
export type TurnRequest = Pick<Admission, "tools" | "reasoning" | "fakeSay">;

/** That of a prompt only its tokens are wanted, however many there are; and what of them in words. */
export const Spelling = z.strictObject({ text: z.boolean(), pieces: z.boolean() });
export type Spelling = z.infer<typeof Spelling>;

/** A request before it is accepted. `constraint`: compiled meanwhile, so that one that can't be is refused then. */
export const Preparation = z.strictObject({
  id: u32,
  input: PrepareInput,
  constraint: Constraint.optional(),
  spell: Spelling.optional(),
  /** As of the admission that may follow. */
  salt: z.string().optional().meta({ absent: "" }),
});
export type Preparation = z.infer<typeof Preparation>;

/** Where the weights are: the embedded model, a folder, or a hub id. */
export const ModelSource = z.strictObject({
  id: z.string(),
  kind: z.enum(["embedded", "folder", "hub", "gguf", "fake"]),
  path: z.string(),
});
export type ModelSource = z.infer<typeof ModelSource>;

/** Of each element of keys and values in a cache; 0: they are as they were computed. */
export const KvBits = z.literal([0, 4, 8]);

/** What control tokens are in the strings of a chat's request. */
export const ControlTokens = z.enum(["text", "parse"]);

export const LoadOptions = z.strictObject({
  maxBatch: u32,
  /** 0: what the model can. */
  contextMax: u32,
  /** Bytes for weights and KV; 0: the worker's own choice (70 % of the memory). */
  memoryBudgetBytes: byteCount,
  device: z.enum(["auto", "cpu", "gpu"]),
  prefillChunkTokens: u32,
  /** What the prefix cache may hold: bytes, and a share of what the weights leave of the budget. */
  prefixCacheBytes: byteCount,
  prefixCacheShare: z.number().min(0).max(1),
  /** Where blocks of it survive the worker, empty: nowhere; and what they may take there. */
  prefixDiskFolder: z.string(),
  prefixDiskBytes: byteCount,
  kvBits: KvBits,
  /** At most so many `step` frames may be unacknowledged. */
  unackedStepsMax: u32,
  /** Fixed chunk borders and replay by single steps, so that the same seed makes the same tokens. */
  deterministic: z.boolean(),
  /** What control tokens are in the strings of a chat's request. */
  controlTokens: ControlTokens,
  /** Fake engine only: tokens per second of one stream; 0: as fast as it can. */
  fakeTokensPerSecond: finite,
  /** Fake engine only: what loading takes, in ms. */
  fakeLoadMs: finite,
});
export type LoadOptions = z.infer<typeof LoadOptions>;

/** `bytes`: of its text; none where `token` is a name. */
export const TopLogprob = z.object({
  token: z.string(),
  bytes: z.array(z.int()),
  logprob: z.number(),
});

/** A sampled token with its probability, and the likeliest others. */
export const TokenLogprob = TopLogprob.extend({ top: z.array(TopLogprob) });
export type TokenLogprob = z.infer<typeof TokenLogprob>;

/** The same of a token that is read. `logprob`: null of the first one, which has nothing before it. */
export const ReadLogprob = TokenLogprob.extend({ logprob: z.number().nullable() });
export type ReadLogprob = z.infer<typeof ReadLogprob>;

/**
 * A piece of a turn: text of the message, text of the reasoning, a call that begins, text of its arguments (of a
 * custom tool its input), and its end. A token that is read inside of reasoning has a piece of it, without text
 * where none became certain. `forced`, without text: the model had no choice of this token.
 */
export const Piece = z.union([
  z.tuple([z.enum(["content", "reasoning", "call", "arguments", "forced"]), z.string()]),
  z.tuple([z.literal("callEnd"), z.boolean()]),
]);
export type Piece = z.infer<typeof Piece>;

/** Text of the message, which is the usual case, or pieces. */
export const Said = z.union([z.string(), z.array(Piece)]);
export type Said = z.infer<typeof Said>;

/** slot, index of the token, token id, what became certain with it (may be nothing), logprobs if asked for. */
export const StepRow = z.tuple([u32, u32, u32, Said, TokenLogprob.optional()]);
export type StepRow = [
  id: number,
  index: number,
  token: number,
  said: Said,
  logprobs?: TokenLogprob,
];

/** What a KV cache holds for tokens to come: one in so many of its tokens, within bounds. */
export const RoomTerms = z.object({ oneIn: u32, tokensMin: u32, tokensMax: u32 });

export const Capabilities = z.object({
  contextMax: u32,
  kvBytesPerToken: finite,
  kvBytesFixed: finite,
  weightsBytes: finite,
  /** Bytes that KV caches may take together. */
  kvBudgetBytes: finite,
  /** Bytes that one may take with no other beside it: the prefix cache gives way to it. */
  kvAloneBytes: finite,
  kvRoom: RoomTerms,
});

/** How the model's makers want it sampled, for requests that don't say. */
export const SamplingDefaults = Sampling.pick({
  temperature: true,
  topP: true,
  topK: true,
  minP: true,
  repetitionPenalty: true,
});
export type SamplingDefaults = z.infer<typeof SamplingDefaults>;

export const PrefixReuse = z.enum(["part", "whole", "none"]);

/**
 * What the model was seen to do when it was loaded. `batch`: rows decode in one forward pass, else each in
 * its own. `prefix`: how much of a cached prompt may be used again; `kvBits`: what it was seen with. The
 * reasons: null where nothing is amiss.
 */
export const Abilities = z.object({
  batch: z.boolean(),
  batchReason: z.string().nullable(),
  prefix: PrefixReuse,
  prefixReason: z.string().nullable(),
  kvBits: KvBits,
  /** False: it is an embedding model, and makes no text. */
  generates: z.boolean(),
  /** Numbers of a text's vector; 0: it has none that could be told. */
  dimensions: u32,
});
export type Abilities = z.infer<typeof Abilities>;

export const RefusalCode = z.enum([
  "invalid_prompt",
  "invalid_request",
  "context_length_exceeded",
  "out_of_memory",
  "memory_budget_exceeded",
]);

/** Answers `prepare` and `admit`. `field`: what in the input is to blame. */
export const Refusal = z.object({
  id: u32,
  code: RefusalCode,
  field: z.string(),
  message: z.string(),
});

/** The model can't be loaded; the worker exits after it. */
export const LoadFailure = z.object({ code: z.string(), message: z.string() });

export const Finish = z.enum(["stop", "length", "toolCalls", "failed"]);
export const FailureCode = z.enum(["generation_error", "out_of_memory"]);

export const toWorker = {
  load: z.strictObject({ model: ModelSource, options: LoadOptions }),
  prepare: Preparation,
  admit: z.strictObject({ requests: z.array(Admission) }),
  abort: z.strictObject({ ids: z.array(u32) }),
  ack: z.strictObject({ step: u32 }),
  stop: z.strictObject({}),
} as const;

export const fromWorker = {
  hello: z.object({
    protocol: u32,
    versions: z.record(z.string(), z.string()),
    /** metal, cuda, cpu or fake. */
    backend: z.string(),
  }),
  loading: z.object({ done: finite, total: finite, what: z.string() }),
  ready: z.object({
    limits: Capabilities,
    sampling: SamplingDefaults,
    native: NativeParts,
    abilities: Abilities,
  }),
  loadFailed: LoadFailure,
  prepared: z.object({
    id: u32,
    tokens: bytes,
    blockHashes: z.array(z.string()),
    /** Of several texts, each one's tokens; all of them stand in `tokens` one after another. */
    lengths: z.array(u32).optional(),
    /** Its reasoning was to be bounded, and this model's can't be. */
    unbounded: z.boolean().optional(),
    /** What all of them say, control tokens by name; and each. Only if asked for. */
    text: z.string().optional(),
    pieces: z.array(z.string()).optional(),
  }),
  busy: z.object({ reason: z.string(), allowanceMs: finite }),
  aborted: z.object({ id: u32 }),
  prefill: z.object({ id: u32, done: u32, total: u32, cached: u32 }),
  /** Checked by hand (`checkStep` in link.ts): it is the hot path. */
  step: z.object({ step: u32, rows: z.array(StepRow) }),
  ended: z.object({
    id: u32,
    finish: Finish,
    /** Set when `finish` is failed. */
    code: FailureCode.optional(),
    message: z.string().optional(),
    /** The stop string that ended it, if one did. */
    stop: z.string().optional(),
    /** What was held back until the end was known. */
    tail: Said,
  }),
  refused: Refusal,
  telemetry: z.object({
    running: u32,
    waiting: u32,
    steps: u32,
    prefixCacheBytes: finite,
    kvBytes: finite,
    memoryBytes: finite,
    native: NativeFigures.optional(),
    grammars: GrammarFigures.optional(),
    prefixes: PrefixFigures.optional(),
    prefixDisk: DiskFigures.optional(),
  }),
  /** The worker is about to die and says why. */
  fault: z.object({
    code: z.string(),
    message: z.string(),
    native: NativeFigures.optional(),
  }),
  /** What the prefix cache holds now, and what it holds no more, by hashes as those of `prepared`. */
  blocks: z.object({ kept: z.array(z.string()), evicted: z.array(z.string()) }),
  /**
   * What has been read, before `ended`: vectors of all texts, as little-endian float32 one after another; of a score
   * the tokens in their order, in as many frames as it takes.
   */
  read: z.object({
    id: u32,
    vectors: bytes.optional(),
    logprobs: z.array(ReadLogprob).optional(),
  }),
} as const;

/** Type bytes in the frame header; one that is no longer used is not given again. */
export const toWorkerTypes = {
  load: 1,
  prepare: 2,
  admit: 3,
  abort: 4,
  ack: 5,
  stop: 8,
} as const;

export const fromWorkerTypes = {
  hello: 32,
  loading: 33,
  ready: 34,
  loadFailed: 35,
  prepared: 36,
  busy: 37,
  aborted: 38,
  prefill: 40,
  step: 41,
  ended: 42,
  refused: 43,
  telemetry: 44,
  fault: 45,
  blocks: 46,
  read: 47,
} as const;

export type ToWorkerName = keyof typeof toWorker;
export type FromWorkerName = keyof typeof fromWorker;

// An empty schema infers a record that forbids `type` too.
type Body<S extends z.ZodType> = z.infer<S> extends Record<string, never> ? unknown : z.infer<S>;

export type ToWorker = {
  [K in ToWorkerName]: { type: K } & Body<(typeof toWorker)[K]>;
}[ToWorkerName];

type FromWorkerBodies = {
  [K in FromWorkerName]: { type: K } & z.infer<(typeof fromWorker)[K]>;
};
export type FromWorker =
  | Exclude<FromWorkerBodies[FromWorkerName], { type: "step" }>
  | { type: "step"; step: number; rows: StepRow[] };
