// The rollouts of a report as columns, with their texts, advantages and activations made once per block and cached.

import type { Report } from "../data";
import type { Block, Problem, TokenArray } from "../types";

export type Numbers = ArrayLike<number>;

/** Milliseconds of work before the page may react. */
const LONGEST_TASK = 12;

export type Outcome = "valid" | "lucky" | "unknown" | "wrong";
export const OUTCOMES: readonly Outcome[] = ["valid", "lucky", "unknown", "wrong"];
export const OUTCOME_WORDS: Record<Outcome, string> = {
  valid: "valid",
  lucky: "lucky",
  unknown: "right, validity unknown",
  wrong: "wrong",
};
export const SOURCE_WORDS = ["training", "asked for this report", "probe text"];
/** Rollouts that the base wrote and the row's checkpoint read. */
export const PROBE_TEXT = 2;
export const SHORT_SOURCE_WORDS = ["training", "asked", "probe text"];

export interface Columns {
  checkpoint: Numbers;
  problem: Numbers;
  sample: Numbers;
  bucket: Numbers;
  correct: Numbers;
  valid: Numbers;
  lucky: Numbers;
  format: Numbers;
  truncated: Numbers;
  reward: Numbers;
  gate: Numbers;
  first_error: Numbers;
  source: Numbers;
  start: Numbers;
  length: Numbers;
}

const COLUMNS: readonly (keyof Columns)[] = [
  "checkpoint", "problem", "sample", "bucket", "correct", "valid", "lucky", "format", "truncated", "reward", "gate",
  "first_error", "source", "start", "length",
];

export class RolloutStore {
  private readonly blockOfRow: Int32Array;
  private readonly textsOfBlock = new Map<number, Promise<string[]>>();
  private readonly textOfRow: (string | undefined)[] = [];
  private readonly lowerOfBlock = new Map<number, string[]>();
  private readonly lowerPrompts: (string | undefined)[] = [];
  private advantagesOfRows: Promise<Float32Array> | null = null;
  private readonly peaks = new Map<number, Promise<Float32Array>>();

  private constructor(
    readonly report: Report,
    readonly count: number,
    readonly columns: Columns,
    readonly answers: readonly (string | null)[],
    readonly problems: readonly Problem[],
    readonly tokenTexts: readonly string[],
    readonly formats: readonly string[],
    readonly tokenRoles: readonly string[],
    readonly blocks: readonly Block[],
  ) {
    this.blockOfRow = new Int32Array(count).fill(-1);
    blocks.forEach((block, index) => this.blockOfRow.fill(index, block.first, block.first + block.count));
  }

  static async open(report: Report): Promise<RolloutStore> {
    const rollouts = report.index.rollouts;
    if (!rollouts) throw new Error("This report has no rollouts.");
    const named = rollouts.columns as unknown as Record<string, string>;
    const [answers, problems, tokenTexts, ...columns] = await Promise.all([
      report.json<(string | null)[]>(rollouts.columns.answer),
      report.json<Problem[]>(rollouts.problems),
      report.json<string[]>(rollouts.token_texts),
      ...COLUMNS.map((name) => report.array(named[name])),
    ]);
    const byName = Object.fromEntries(COLUMNS.map((name, at) => [name, columns[at]])) as unknown as Columns;
    return new RolloutStore(
      report, rollouts.count, byName, answers, problems, tokenTexts, rollouts.formats, rollouts.token_roles, rollouts.blocks,
    );
  }

  // --- one rollout ---------------------------------------------------------------------------------------------------

  problem(row: number): Problem {
    return this.problems[this.columns.problem[row]] ?? { id: "?", prompt: "", label: "", bucket: null, depth: null };
  }

  outcome(row: number): Outcome {
    if (!this.columns.correct[row]) return "wrong";
    const valid = this.columns.valid[row];
    return valid === 1 ? "valid" : valid === 0 ? "lucky" : "unknown";
  }

  bucketName(row: number): string {
    const bucket = this.columns.bucket[row];
    return bucket === 255 ? "" : (this.report.index.buckets[bucket] ?? "");
  }

  checkpointLabel(checkpoint: number): string {
    const each = this.report.index.checkpoints[checkpoint];
    return each ? each.label || `step ${each.step}` : `checkpoint ${checkpoint}`;
  }

  runOf(checkpoint: number): number {
    return this.report.index.checkpoints[checkpoint]?.run ?? -1;
  }

  runName(checkpoint: number): string {
    return this.report.index.runs[this.runOf(checkpoint)]?.name ?? "";
  }

  formatName(row: number): string {
    return this.formats[this.columns.format[row]] ?? "";
  }

  blockIndex(row: number): number {
    return this.blockOfRow[row] ?? -1;
  }

  /** Tokens [from, to) of a rollout within the arrays of its block. */
  range(row: number): [number, number] {
    const block = this.blocks[this.blockIndex(row)];
    if (!block) return [0, 0];
    const from = this.columns.start[row] - block.start;
    return [from, from + this.columns.length[row]];
  }

  /** One array of the tokens of a rollout: N values, or N x width; null if the report has none. */
  async tokens(row: number, name: TokenArray): Promise<Numbers | null> {
    const chunk = this.blocks[this.blockIndex(row)]?.arrays[name];
    return chunk ? this.slice(row, chunk) : null;
  }

  /** The same for a further colouring, by its place in `extras`. */
  async extra(row: number, extra: number): Promise<Numbers | null> {
    const chunk = this.report.index.rollouts?.extras[extra]?.arrays[String(this.blockIndex(row))];
    return chunk ? this.slice(row, chunk) : null;
  }

  /** The part of a chunk with a row of values for each token of a block that is a rollout's. */
  async slice(row: number, chunk: string): Promise<Numbers> {
    const array = await this.report.array(chunk);
    const tokens = this.blocks[this.blockIndex(row)].tokens;
    const width = tokens ? Math.max(1, Math.round(array.length / tokens)) : 1;
    const [from, to] = this.range(row);
    return array.subarray(from * width, to * width);
  }

  tokenText(token: number): string {
    return this.tokenTexts[token] ?? `?${token}`;
  }

  /** The completion, if the texts of its block are there already. */
  completionNow(row: number): string | undefined {
    return this.textOfRow[row];
  }

  // --- all rollouts --------------------------------------------------------------------------------------------------

  /** The completions of a block, first row first. */
  texts(index: number): Promise<string[]> {
    let texts = this.textsOfBlock.get(index);
    if (!texts) this.textsOfBlock.set(index, (texts = this.makeTexts(index)));
    return texts;
  }

  private async makeTexts(index: number): Promise<string[]> {
    const block = this.blocks[index];
    const token = block.arrays.token ? await this.report.array(block.arrays.token) : new Uint32Array(0);
    const texts: string[] = [];
    let started = performance.now();
    for (let row = block.first; row < block.first + block.count; row++) {
      if (performance.now() - started > LONGEST_TASK) {
        await new Promise((resolve) => setTimeout(resolve));
        started = performance.now();
      }
      const [from, to] = this.range(row);
      let text = "";
      for (let at = from; at < to; at++) text += this.tokenTexts[token[at]] ?? "";
      texts.push(text);
      this.textOfRow[row] = text;
    }
    return texts;
  }

  async completion(row: number): Promise<string> {
    const index = this.blockIndex(row);
    return index < 0 ? "" : (await this.texts(index))[row - this.blocks[index].first];
  }

  /** Rows whose prompt or completion contains the text, in any case. */
  async search(text: string): Promise<Uint8Array> {
    const hit = new Uint8Array(this.count);
    const wanted = text.toLowerCase();
    const inPrompt = this.problems.map((problem, at) => {
      return (this.lowerPrompts[at] ??= problem.prompt.toLowerCase()).includes(wanted);
    });
    for (let row = 0; row < this.count; row++) hit[row] = inPrompt[this.columns.problem[row]] ? 1 : 0;
    for (let index = 0; index < this.blocks.length; index++) {
      const texts = await this.texts(index);
      let lower = this.lowerOfBlock.get(index);
      if (!lower) this.lowerOfBlock.set(index, (lower = texts.map((each) => each.toLowerCase())));
      const first = this.blocks[index].first;
      for (let at = 0; at < lower.length; at++) if (!hit[first + at] && lower[at].includes(wanted)) hit[first + at] = 1;
    }
    return hit;
  }

  /** Advantage of each rollout: the mean over its tokens, for token weights have mean 1. NaN where none is recorded. */
  advantages(): Promise<Float32Array> {
    return (this.advantagesOfRows ??= this.perRollout("advantage", (array, from, to) => {
      let sum = 0;
      for (let at = from; at < to; at++) sum += array[at];
      return to > from ? sum / (to - from) : NaN;
    }));
  }

  /** Largest activation in each rollout of the latent in a row of the features; 0 where it never is among the top. */
  peak(latent: number): Promise<Float32Array> {
    let peak = this.peaks.get(latent);
    if (!peak) this.peaks.set(latent, (peak = this.makePeak(latent)));
    return peak;
  }

  private async makePeak(latent: number): Promise<Float32Array> {
    const peak = new Float32Array(this.count).fill(NaN);
    for (const block of this.blocks) {
      const { live_latent, live_value } = block.arrays;
      if (!live_latent || !live_value) continue;
      const [latents, values] = await Promise.all([this.report.array(live_latent), this.report.array(live_value)]);
      const width = block.tokens ? Math.round(latents.length / block.tokens) : 0;
      for (let row = block.first; row < block.first + block.count; row++) {
        const [from, to] = this.range(row);
        let most = 0;
        for (let at = from * width; at < to * width; at++) {
          if (latents[at] === latent && values[at] > most) most = values[at];
        }
        peak[row] = most;
      }
    }
    return peak;
  }

  private async perRollout(
    name: TokenArray,
    reduce: (array: Numbers, from: number, to: number) => number,
  ): Promise<Float32Array> {
    const out = new Float32Array(this.count).fill(NaN);
    for (const block of this.blocks) {
      const chunk = block.arrays[name];
      if (!chunk) continue;
      const array = await this.report.array(chunk);
      for (let row = block.first; row < block.first + block.count; row++) out[row] = reduce(array, ...this.range(row));
    }
    return out;
  }

  /** Rollouts of the same problem by the same checkpoint from the same source, by sample: the group. */
  siblings(row: number): number[] {
    const { checkpoint, problem, source, sample } = this.columns;
    const rows: number[] = [];
    for (let other = 0; other < this.count; other++) {
      if (problem[other] !== problem[row] || checkpoint[other] !== checkpoint[row]) continue;
      if (source[other] === source[row]) rows.push(other);
    }
    return rows.sort((a, b) => sample[a] - sample[b] || a - b);
  }
}

const stores = new WeakMap<Report, Promise<RolloutStore>>();

/** The store of a report, opened once. */
export function openStore(report: Report): Promise<RolloutStore> {
  let store = stores.get(report);
  if (!store) stores.set(report, (store = RolloutStore.open(report)));
  return store;
}
