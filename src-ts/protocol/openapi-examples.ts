/** One true-looking instance of every body. A test holds each against its schema. */
const usage = {
  prompt_tokens: 14,
  completion_tokens: 8,
  total_tokens: 22,
  prompt_tokens_details: { cached_tokens: 0 },
  completion_tokens_details: { reasoning_tokens: 0 },
};

const created = 1_764_000_000;
const model = "smollm2-135m-instruct";
const answer = "The capital of France is Paris.";

export const chatBody = {
  messages: [{ role: "user", content: "What is the capital of France?" }],
  max_completion_tokens: 64,
};

export const chatCompletion = {
  id: "chatcmpl_1",
  object: "chat.completion",
  created,
  model,
  choices: [
    {
      index: 0,
      message: { role: "assistant", content: answer, refusal: null },
      logprobs: null,
      finish_reason: "stop",
    },
  ],
  usage,
};

export const completionBody = { prompt: "The capital of France is", max_tokens: 16 };

export const completion = {
  id: "cmpl_1",
  object: "text_completion",
  created,
  model,
  choices: [{ index: 0, text: " Paris.", logprobs: null, finish_reason: "stop" }],
  usage,
};

const readUsage = { prompt_tokens: 12, total_tokens: 12 };

export const embeddingsBody = { input: ["A cat", "A dog"], dimensions: 2 };

export const embeddings = {
  object: "list",
  data: [
    { object: "embedding", index: 0, embedding: [0.6, 0.8] },
    { object: "embedding", index: 1, embedding: [0.8, 0.6] },
  ],
  model,
  usage: readUsage,
};

export const rerankBody = { query: "pets", documents: ["A cat", "A car"], top_n: 1 };

export const reranking = {
  id: "embd_1",
  model,
  results: [{ index: 0, relevance_score: 0.61 }],
  usage: readUsage,
};

export const tokenizeBody = { prompt: "Hello there", return_token_strs: true };

export const tokenization = {
  count: 2,
  max_model_len: 8192,
  tokens: [19556, 665],
  token_strs: ["Hello", " there"],
};

export const detokenizeBody = { tokens: [28] };

export const detokenization = { prompt: ",", content: "," };

export const inputTokensBody = { input: "What is the capital of France?" };

export const inputTokens = { object: "response.input_tokens", input_tokens: 14 };

export const anthropicBody = {
  max_tokens: 64,
  messages: [{ role: "user", content: "What is the capital of France?" }],
};

export const anthropicMessage = {
  id: "msg_1",
  type: "message",
  role: "assistant",
  model,
  content: [{ type: "text", text: answer }],
  stop_reason: "end_turn",
  stop_sequence: null,
  usage: {
    input_tokens: 14,
    cache_creation_input_tokens: 0,
    cache_read_input_tokens: 0,
    output_tokens: 8,
  },
};

export const anthropicCountBody = {
  messages: [{ role: "user", content: "What is the capital of France?" }],
};

export const anthropicTokenCount = { input_tokens: 14 };

export const responseBody = { input: "What is the capital of France?", max_output_tokens: 64 };

export const response = {
  id: "resp_1",
  object: "response",
  created_at: created,
  completed_at: created + 1,
  status: "completed",
  error: null,
  incomplete_details: null,
  model,
  output: [
    {
      id: "msg_1",
      type: "message",
      role: "assistant",
      status: "completed",
      content: [{ type: "output_text", text: answer, annotations: [], logprobs: [] }],
    },
  ],
  usage: {
    input_tokens: 14,
    input_tokens_details: { cached_tokens: 0, cache_write_tokens: 0 },
    output_tokens: 8,
    output_tokens_details: { reasoning_tokens: 0 },
    total_tokens: 22,
  },
  background: false,
  frequency_penalty: 0,
  presence_penalty: 0,
  instructions: null,
  max_output_tokens: 64,
  max_tool_calls: null,
  metadata: {},
  parallel_tool_calls: true,
  previous_response_id: null,
  prompt_cache_key: null,
  reasoning: { effort: null, summary: null },
  safety_identifier: null,
  service_tier: "default",
  store: true,
  temperature: 0,
  text: { format: { type: "text" }, verbosity: "medium" },
  tool_choice: "auto",
  tools: [],
  top_logprobs: 0,
  top_p: 1,
  truncation: "disabled",
  user: null,
};

export const inputItems = {
  object: "list",
  data: [
    {
      id: "msg_1_in_0",
      type: "message",
      role: "user",
      status: "completed",
      content: [{ type: "input_text", text: "Why is the sky blue?" }],
    },
  ],
  first_id: "msg_1_in_0",
  last_id: "msg_1_in_0",
  has_more: false,
};

export const deleted = { id: "resp_1", object: "response", deleted: true };

export const modelObject = {
  id: model,
  object: "model",
  created,
  owned_by: "mlx-serving",
  mlx_serving: {
    decoding: "together",
    decoding_reason: null,
    prefix_reuse: "part",
    prefix_reuse_reason: null,
    kv_bits: null,
    makes_text: true,
    embedding_dimensions: 576,
  },
};

export const modelList = { object: "list", data: [modelObject] };

export const ticket = {
  ticket: "8pXl0bYQb0o0Jm5Wc3m0k6y1y5V0q2n3r4s5t6u7v8w",
  expires_at: created + 30,
  expires_in: 30,
};

export const workers = [
  {
    id: "w1",
    model,
    state: "ready",
    epoch: 1,
    pid: 4242,
    restarts: 0,
    running: 1,
    prefilling: 0,
    decoding: 1,
    cancelling: 0,
    queued: 0,
    preparing: 0,
    storing: 0,
    backend: "metal",
    versions: { mlx: "0.32.4" },
    native: null,
  },
];

export const keys = {
  required: true,
  file: { read_at: created, mistake: null },
  keys: [
    {
      name: "alice",
      state: "active",
      expires_at: null,
      admin: false,
      metrics: false,
      models: null,
      priority: null,
      priority_max: "normal",
      limits: {
        requests_per_minute: 60,
        tokens_per_minute: null,
        concurrency: 4,
        tokens_per_day: 2_000_000,
        tokens_per_month: null,
        tokens_total: null,
      },
      use: {
        running: 1,
        requests: 12,
        prompt_tokens: 4096,
        completion_tokens: 1024,
        tokens_today: 5120,
        tokens_this_month: 5120,
        tokens_total: 5120,
        refused: { "requests-per-minute": 2 },
        last_used_at: created,
      },
    },
  ],
};

export const health = { status: "ok" };
export const ready = { status: "ready" };
export const restarting = { id: "w1", restarting: true };
export const draining = { draining: true };
export const killed = { id: "w1", killed: true };
export const cancelling = { id: "resp_1", cancelling: true };
export const session = {
  token: "mlxs_8pXl0bYQb0o0Jm5Wc3m0k6y1y5V0q2n3r4s5t6u7v8w",
  expires_in: 43_200,
};

export const timeline = {
  id: "resp_1",
  model,
  priority: "normal",
  arrivedAtMs: created * 1000,
  live: false,
  emitted: 24,
  omitted: 0,
  transitions: [
    { event: "arrived", afterMs: 0 },
    { event: "preparing", afterMs: 0.3, workerId: "w1" },
    { event: "prepared", afterMs: 2.1, promptTokens: 14 },
    { event: "accepted", afterMs: 2.2 },
    { event: "queued", afterMs: 2.2 },
    { event: "dispatched", afterMs: 2.4, workerId: "w1", attempt: 1 },
    { event: "prefilling", afterMs: 9, cachedTokens: 0 },
    { event: "decoding", afterMs: 31.5, workerId: "w1" },
    { event: "ended", afterMs: 412, finish: "stop" },
  ],
};
