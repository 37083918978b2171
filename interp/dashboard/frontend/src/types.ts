// The report as Python writes it: one index and named chunks. A chunk name stands where the bytes are fetched on demand.

export type ChunkName = string;
export type NumberArray = Uint8Array | Uint16Array | Uint32Array | Int32Array | Float32Array;
export type Dtype = "u1" | "u2" | "u4" | "i4" | "f2" | "f4" | "json";

export interface ChunkInfo {
  dtype: Dtype;
  shape: number[];
}

export interface Run {
  name: string;
  kind: "run" | "series" | "evaluation";
  note: string;
}

export interface Checkpoint {
  run: number;
  step: number;
  label: string;
  is_base: boolean;
}

export interface Interval {
  value: number | null;
  low: number | null;
  high: number | null;
  n?: number | null;
}

export interface Finding {
  text: string;
  detail: string;
}

export interface Learning extends Interval {
  run: number;
  checkpoint: number;
  bucket: string;
  measure: string;
  /** Where the answers come from: "training", "evaluation". */
  source?: string;
}

export interface ChangeCell extends Interval {
  bucket: string;
  measure: string;
}

export interface LatentCount {
  bucket: string;
  strengthened: number;
  weakened: number;
}

/** A row of the story: rates of a base, or what changed since, or a run less its control. */
export interface Change {
  kind: "base" | "run" | "control" | "against";
  name: string;
  /** Number of the run, if the row is of one. */
  run: number | null;
  checkpoint: number | null;
  source: string;
  /** Whether changes are paired by problem. */
  paired: boolean;
  cells: ChangeCell[];
  latents: LatentCount[] | null;
  /** Whether the dictionary fits every checkpoint; null without tracks. */
  trusted: boolean | null;
}

export interface RoleCount {
  run: number;
  bucket: string;
  family: string;
  latents: number;
  strengthened: number;
  weakened: number;
  control: number | null;
}

export interface Verdict {
  study: string;
  claim: string;
  text: string;
  verdict: string;
  measures: ({ name: string } & Interval)[];
}

export interface Overview {
  /** Reports of earlier versions have none. */
  changes?: Change[];
  findings: Finding[];
  learning: Learning[];
  /** How many latents earned a role, beside random latents. */
  earned?: Finding | null;
  roles: RoleCount[];
  verdicts: Verdict[];
}

export interface Drift {
  checkpoint: number;
  bucket: string;
  corpus: string;
  fve: number | null;
  threshold: number | null;
  trusted: boolean;
  /** Why it is not trusted. */
  reason?: string;
}

export type TrackArray =
  | "level"
  | "change"
  | "low"
  | "high"
  | "q"
  | "verdict"
  | "floor"
  | "floor_low"
  | "floor_high"
  | "same"
  | "same_low"
  | "same_high";

export interface Track {
  run: number;
  name: string;
  corpus: string;
  measure: string;
  checkpoints: number[];
  base: number;
  arrays: Record<Exclude<TrackArray, "same" | "same_low" | "same_high">, ChunkName> &
    Partial<Record<"same" | "same_low" | "same_high", ChunkName | null>>;
  drift: Drift[];
}

export interface Lens {
  raised: ChunkName;
  raised_by: ChunkName;
  lowered: ChunkName;
  lowered_by: ChunkName;
}

export interface Features {
  count: number;
  latents: ChunkName;
  dictionary: { name: string; width: number; layer: number | string; k: number; fve: number | null };
  roles: string[];
  role: ChunkName;
  facts: Record<"firing_rate" | "mean_when_active" | "max" | "slow", ChunkName>;
  density: { counts: ChunkName; edges: number[] } | null;
  lens: Lens | null;
  neighbors: { latent: ChunkName; cosine: ChunkName } | null;
  tracks: Track[];
  verdicts: string[];
  trials: ChunkName | null;
  examples: {
    rollout: ChunkName;
    position: ChunkName;
    value: ChunkName;
    quantile: string[];
    corpus: string[];
  } | null;
}

export interface BehaviorChange extends Interval {
  edit: "ablated" | "doubled";
  what: string;
  matched: number | number[] | null;
}

export interface Trial {
  latent: number;
  group: "candidate" | "random";
  family: string;
  contrast: string;
  passes: { contrast: boolean | null; falsification: boolean | null; ablation: boolean | null; all: boolean | null };
  auroc: number | null;
  d: number | null;
  q: number | null;
  other_surface_auroc: number | null;
  injection_d: number | null;
  shuffled_share: number | null;
  ablation: number | null;
  ablation_low: number | null;
  ablation_high: number | null;
  amplification: number | null;
  matched: number[];
  behavior: BehaviorChange[];
}

export interface Problem {
  id: string;
  prompt: string;
  label: string | null;
  bucket: number | null;
  depth: number | null;
}

export type RolloutColumn =
  | "checkpoint"
  | "problem"
  | "sample"
  | "bucket"
  | "correct"
  | "valid"
  | "lucky"
  | "format"
  | "truncated"
  | "reward"
  | "gate"
  | "first_error"
  | "answer"
  | "source"
  | "start"
  | "length";

export type TokenArray =
  | "token"
  | "logprob"
  | "entropy"
  | "advantage"
  | "credit"
  | "base_logprob"
  | "role"
  | "state"
  | "step"
  | "live_latent"
  | "live_value"
  | "base_latent"
  | "base_value";

/** Consecutive rollouts of one checkpoint; their tokens lie one after the other in each array. */
export interface Block {
  checkpoint: number;
  first: number;
  count: number;
  start: number;
  tokens: number;
  arrays: Partial<Record<TokenArray, ChunkName | null>> & { token: ChunkName };
}

export interface Extra {
  name: string;
  what: string;
  arrays: Record<string, ChunkName>;
}

/** What a credit scheme, or its control, read and paid. */
export interface PaymentSide {
  name: string;
  /** Who read: "base" or "live"; "" if nothing is read. */
  reader: string;
  sources: string[];
  /** A row for each rollout of the payments: the columns, then what each source adds to the log-odds. */
  values: ChunkName;
  /** By block: what each source read at each token, and the advantage of the token. */
  tokens: Record<string, { read: ChunkName | null; advantage: ChunkName | null }>;
}

/** A credit scheme beside its control, for the rollouts that it paid. */
export interface Payments {
  /** Rows of the rollouts, ascending. */
  rows: ChunkName;
  /** Reports of earlier versions have no "added". */
  columns: ("p" | "gate" | "paid" | "at_mean" | "added")[];
  scheme: PaymentSide;
  control: PaymentSide | null;
}

export interface Rollouts {
  count: number;
  problems: ChunkName;
  columns: Record<RolloutColumn, ChunkName>;
  formats: string[];
  token_texts: ChunkName;
  blocks: Block[];
  extras: Extra[];
  /** Reports of earlier versions have none. */
  payments?: Payments[];
  token_roles: string[];
}

export interface BehaviorComparison {
  bucket: string;
  measure: string;
  a: number | null;
  a_low: number | null;
  a_high: number | null;
  b: number | null;
  b_low: number | null;
  b_high: number | null;
  difference: number | null;
  difference_low: number | null;
  difference_high: number | null;
  p: number | null;
  q: number | null;
  n: number | null;
}

export interface Comparison {
  name: string;
  a: number;
  b: number;
  base: number | null;
  match: string[];
  behavior: BehaviorComparison[];
  latents: Record<"change_a" | "change_b" | "difference" | "low" | "high" | "q" | "relation" | "control", ChunkName> | null;
  relations: string[];
}

export interface Index {
  schema: number;
  title: string;
  made: { version: string; date: string };
  chunks: Record<ChunkName, ChunkInfo>;
  left_out: string[];
  buckets: string[];
  runs: Run[];
  checkpoints: Checkpoint[];
  overview: Overview | null;
  features: Features | null;
  rollouts: Rollouts | null;
  comparisons: Comparison[];
  /** The address at which the report opens, if its own has none. */
  start?: string;
  /** As Python wrote them; src/notes.ts reads them. */
  notes: Record<string, unknown>;
}

/** In the `live_latent` and `base_latent` arrays: no latent here. */
export const NO_LATENT = 4294967295;
/** The schema that this front-end reads. */
export const SCHEMA = 1;
