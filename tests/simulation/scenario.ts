/** What a seed stands for: how the server is set up, what clients ask for, and what goes wrong when. */
import type { EngineOptions } from "../../src-ts/engine/api.js";
import { fakeEngine } from "../support/engine-options.js";
import { Random } from "./random.js";
import type { ServerPlan } from "./server.js";
import { type CallStage, callStages } from "./turns.js";
import { type Misbehaviour, misbehaviours } from "./worker.js";

export interface RequestPlan {
  at: number;
  client: number;
  prompt: string;
  seed: number;
  /** 0: only the prompt is wanted. */
  maxTokens: number;
  /** It offers tools: the answer may reason and call. */
  tools: boolean;
  store: boolean;
  lane: string | undefined;
  priority: "interactive" | "normal" | "batch";
  deadlineMs: number | undefined;
  /** After so many ms: order the end and wait for it, or go away at once. */
  leave: { how: "cancel" | "abort"; afterMs: number } | undefined;
  /** Sent twice, with the same key. */
  twice: boolean;
}

/** A program that uses the engine itself, as chat completions do: cancelled when its reader goes. */
export interface DirectPlan {
  at: number;
  prompt: string;
  seed: number;
  maxTokens: number;
  tools: boolean;
  goesAfterMs: number | undefined;
}

export type FaultPlan = { at: number } & (
  | { kind: "kill worker"; keepBytes: number }
  /** The first worker after it that is so far with a call. */
  | { kind: "kill in a call"; stage: CallStage; keepBytes: number }
  | { kind: "stop worker"; ms: number }
  | { kind: "hang worker" }
  | { kind: "misbehave"; how: Misbehaviour }
  | { kind: "restart worker" }
  | { kind: "cut connection" }
  | { kind: "slow reader"; ms: number }
  | { kind: "kill server"; downMs: number }
  | { kind: "drain server"; graceMs: number; downMs: number }
  | { kind: "full disk"; ms: number }
  | { kind: "failing disk"; ms: number; share: number; cutsBack: boolean }
  | { kind: "clock jump"; ms: number }
  | { kind: "broken model"; ms: number }
  | { kind: "delete response" }
  | { kind: "bad message" }
);

export interface Scenario {
  seed: number;
  plan: ServerPlan;
  clients: number;
  requests: RequestPlan[];
  directs: DirectPlan[];
  faults: FaultPlan[];
  /** Rows that a worker's memory holds. */
  rowsMax: number;
}

const activeMs = 1_500;

export function scenarioOf(seed: number): Scenario {
  const random = new Random(seed);
  const clients = random.int(1, 3);
  const isDurable = random.chance(0.7);
  const count = random.int(2, 7);
  const scenario = twisted(random, {
    seed,
    plan: planOf(random, isDurable),
    clients,
    requests: Array.from({ length: count }, (_, i) => requestOf(random, i, clients)),
    directs: Array.from({ length: random.int(0, 2) }, (_, i) => directOf(random, i)),
    faults: Array.from({ length: random.int(0, 6) }, () => faultOf(random, isDurable)),
    rowsMax: random.chance(0.15) ? random.int(1, 3) : Number.POSITIVE_INFINITY,
  });
  return { ...scenario, faults: [...scenario.faults, ...deathsInCalls(scenario)] };
}

/** Workers that die in mid-call, in lives that have other faults too. Of draws of their own, so that nothing else changes. */
function deathsInCalls({ seed, faults }: Scenario): FaultPlan[] {
  const random = new Random(seed ^ 0x0ca11);
  if (faults.length === 0 || random.chance(0.5)) return [];
  return Array.from({ length: random.int(1, 2) }, () => ({
    kind: "kill in a call",
    at: random.between(0, activeMs),
    stage: random.pick(callStages),
    keepBytes: random.chance(0.5) ? 1e9 : random.int(0, 120),
  }));
}

const onDisk = { segmentBytesMax: 1e6 };
const narrow = { writeBufferBytesMax: 600, lagEntriesMax: 6 };

/** Who can't read meets what can't be written, or a server that ends. */
function stalled(random: Random, { plan, faults }: Scenario, at: number): Partial<Scenario> {
  const slow: FaultPlan = { kind: "slow reader", at, ms: random.between(6_000, 9_000) };
  const other: FaultPlan = random.chance(0.5)
    ? { kind: "full disk", at: at + random.between(0, 200), ms: random.between(5_500, 12_000) }
    : { kind: "drain server", at: at + random.between(100, 400), graceMs: 50, downMs: 50 };
  return {
    plan: { ...plan, ...onDisk, writeBufferBytesMax: narrow.writeBufferBytesMax },
    faults: [...faults, slow, other],
  };
}

/** A disk that fails, what is found on it, and readers who fall behind for it. */
function failing(random: Random, { plan, faults }: Scenario, at: number): Partial<Scenario> {
  const ms = random.between(50, 1_000);
  const share = random.pick([0, random.next(), 1]);
  const failures: FaultPlan[] = [
    { kind: "failing disk", at, ms, share, cutsBack: random.chance(0.5) },
    { kind: "kill server", at: at + ms + random.between(800, 1_300), downMs: 50 },
  ];
  if (random.chance(0.5)) return { plan: { ...plan, ...onDisk }, faults: [...faults, ...failures] };
  const slow: FaultPlan = { kind: "slow reader", at, ms: ms + 100 };
  return { plan: { ...plan, ...onDisk, ...narrow }, faults: [...faults, ...failures, slow] };
}

/** Nothing goes wrong but for prompts that kill who prepares them, one after another or at once. */
function poisoned(random: Random, { clients, requests }: Scenario): Partial<Scenario> {
  const gapMs = random.pick([0, 10, 150, 400]);
  const from = random.between(0, activeMs);
  const venoms = Array.from({ length: random.int(2, 5) }, (_, i) => ({
    ...requestOf(random, requests.length + i, clients),
    at: from + i * gapMs,
    prompt: `venom ${requests.length + i}`,
    // Often before its worker has come to an end with it.
    deadlineMs: random.chance(0.5) ? random.int(1, 120) : undefined,
  }));
  const mates = requests.map((one) => ({ ...one, prompt: one.prompt.replace("poison", "tell") }));
  return { requests: [...mates, ...venoms], faults: [], rowsMax: Number.POSITIVE_INFINITY };
}

/** What chance alone brings together too seldom. */
function twisted(random: Random, scenario: Scenario): Scenario {
  const at = random.between(100, activeMs);
  const twist = random.next();
  if (twist < 0.06) return { ...scenario, ...stalled(random, scenario, at) };
  if (twist < 0.12) return { ...scenario, ...failing(random, scenario, at) };
  if (twist >= 0.9) return { ...scenario, ...poisoned(random, scenario) };
  if (twist < 0.16) {
    // Orders that cross.
    const crossing: FaultPlan[] = [
      { kind: "stop worker", at, ms: 14_000 },
      { kind: "drain server", at: at + 20, graceMs: 0, downMs: 50 },
      { kind: "restart worker", at: at + random.between(30, 1_000) },
    ];
    return { ...scenario, faults: crossing };
  }
  return scenario;
}

function planOf(random: Random, isDurable: boolean): ServerPlan {
  const isNarrow = random.chance(0.2);
  return {
    engine: engineOf(random),
    segmentBytesMax: isDurable ? random.pick([600, 4_000, 1e6]) : undefined,
    resumeGraceMs: random.pick([500, 5_000, 30_000]),
    writeBufferBytesMax: isNarrow ? 1_500 : 256 * 1_024,
    lagEntriesMax: isNarrow ? 12 : 65_536,
  };
}

function engineOf(random: Random): EngineOptions {
  const workersPerModel = random.int(1, 2);
  const spareWorkersPerModel = random.chance(0.3) ? 1 : 0;
  const maxBatch = random.int(1, 4);
  return {
    ...fakeEngine,
    workersPerModel,
    spareWorkersPerModel,
    maxBatch,
    prefixSharing: maxBatch % 2 === 0 ? "all" : "own",
    queueMax: random.pick([2, 64]),
    retentionBytesMax: 1e9,
    retentionMs: 1e11,
  };
}

function requestOf(random: Random, index: number, clients: number): RequestPlan {
  const special = random.next();
  return ofOwnSeed({
    at: random.between(0, activeMs),
    client: random.int(0, clients - 1),
    prompt: `${wordOf(special)} ${index} ${"x".repeat(random.pick([0, 3, 30, 120]))}`,
    seed: random.int(0, 2 ** 32 - 1),
    maxTokens: random.int(1, 16),
    tools: false,
    store: random.chance(0.7),
    lane: random.chance(0.4) ? random.pick(["a", "b"]) : undefined,
    priority: random.pick(["interactive", "normal", "normal", "batch"]),
    deadlineMs: random.chance(0.1) ? random.int(50, 3_000) : undefined,
    leave: random.chance(0.15)
      ? { how: random.pick(["cancel", "abort"]), afterMs: random.between(0, 400) }
      : undefined,
    twice: random.chance(0.1),
  });
}

/** Some want no answer, some offer tools. The request's own seed says who, so that no other chance depends on it. */
function ofOwnSeed<T extends RequestPlan | DirectPlan>(plan: T): T {
  const maxTokens = "store" in plan && plan.seed % 10 === 0 ? 0 : plan.maxTokens;
  return { ...plan, maxTokens, tools: plan.seed % 7 < 3 };
}

/** What is wrong with a prompt: refused when it is prepared or admitted, or it kills who does either. */
function wordOf(special: number): string {
  if (special < 0.04) return "refuse";
  if (special < 0.08) return "poison";
  if (special < 0.12) return "venom";
  return special < 0.14 ? "garble" : "tell";
}

function directOf(random: Random, index: number): DirectPlan {
  return ofOwnSeed({
    at: random.between(0, activeMs),
    prompt: `direct ${index}`,
    seed: random.int(0, 2 ** 32 - 1),
    maxTokens: random.int(1, 16),
    tools: false,
    goesAfterMs: random.chance(0.5) ? random.between(0, 300) : undefined,
  });
}

function faultOf(random: Random, isDurable: boolean): FaultPlan {
  const at = random.between(0, activeMs);
  const kinds = [
    ...Array(5).fill("kill worker"),
    ...Array(2).fill("stop worker"),
    "hang worker",
    ...Array(4).fill("misbehave"),
    "restart worker",
    ...Array(4).fill("cut connection"),
    ...Array(2).fill("slow reader"),
    ...Array(2).fill("kill server"),
    "drain server",
    ...(isDurable ? ["full disk", "full disk"] : []),
    "clock jump",
    "broken model",
    "delete response",
    "bad message",
  ] as FaultPlan["kind"][];
  return { at, ...detailsOf(random.pick(kinds), random) } as FaultPlan;
}

function detailsOf(kind: FaultPlan["kind"], random: Random): object {
  const downMs = random.between(10, 2_000);
  switch (kind) {
    case "kill worker":
      return { kind, keepBytes: random.chance(0.5) ? 1e9 : random.int(0, 120) };
    case "stop worker":
      return { kind, ms: random.pick([200, 2_000, 14_000]) };
    case "misbehave":
      return { kind, how: random.pick(misbehaviours) };
    case "slow reader":
    case "full disk":
    case "broken model":
      return { kind, ms: random.between(100, 12_000) };
    case "kill server":
      return { kind, downMs };
    case "drain server":
      return { kind, graceMs: random.pick([0, 200, 30_000]), downMs };
    case "clock jump":
      return { kind, ms: random.pick([-1, 1]) * random.between(1, 1e9) };
    default:
      return { kind };
  }
}
