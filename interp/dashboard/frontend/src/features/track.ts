// One track: the measure of each latent at each checkpoint and bucket, with what stands beside it.
import { useMemo } from "preact/hooks";
import { useChunks } from "../data";
import type { Drift, Features, Index, NumberArray, Track, TrackArray } from "../types";

export interface TrackCell {
  level: number;
  change: number;
  low: number;
  high: number;
  q: number;
  verdict: string;
}

export interface Estimate {
  value: number;
  low: number;
  high: number;
}

type Arrays = Partial<Record<TrackArray, NumberArray>>;

/** The arrays of a track, read by checkpoint (its place in the track), bucket and row of the latents. */
export class TrackData {
  constructor(
    readonly index: Index,
    readonly features: Features,
    readonly track: Track,
    readonly arrays: Arrays,
  ) {}

  /** Places of the checkpoints that are compared with the base. */
  get steps(): number[] {
    return this.track.checkpoints.map((_, t) => t).filter((t) => this.track.checkpoints[t] !== this.track.base);
  }

  get last(): number {
    return this.track.checkpoints.length - 1;
  }

  at(name: TrackArray, t: number, bucket: number, row: number): number {
    const array = this.arrays[name];
    return array ? array[(t * this.index.buckets.length + bucket) * this.features.count + row] : NaN;
  }

  private flat(name: TrackArray, bucket: number, row: number): number {
    const array = this.arrays[name];
    return array ? array[bucket * this.features.count + row] : NaN;
  }

  cell(t: number, bucket: number, row: number): TrackCell {
    return {
      level: this.at("level", t, bucket, row),
      change: this.at("change", t, bucket, row),
      low: this.at("low", t, bucket, row),
      high: this.at("high", t, bucket, row),
      q: this.at("q", t, bucket, row),
      verdict: this.verdict(t, bucket, row),
    };
  }

  verdict(t: number, bucket: number, row: number): string {
    return this.features.verdicts[this.at("verdict", t, bucket, row)] ?? "";
  }

  floor(bucket: number, row: number): Estimate {
    return {
      value: this.flat("floor", bucket, row),
      low: this.flat("floor_low", bucket, row),
      high: this.flat("floor_high", bucket, row),
    };
  }

  same(bucket: number, row: number): Estimate {
    return {
      value: this.flat("same", bucket, row),
      low: this.flat("same_low", bucket, row),
      high: this.flat("same_high", bucket, row),
    };
  }

  drift(t: number, bucket: number): Drift | undefined {
    const name = this.index.buckets[bucket];
    const here = this.track.drift.filter((d) => d.checkpoint === this.track.checkpoints[t]);
    return here.find((d) => d.bucket === name) ?? here.find((d) => d.bucket === "all" || !d.bucket);
  }

  step(t: number): number {
    return this.index.checkpoints[this.track.checkpoints[t]]?.step ?? t;
  }

  label(t: number): string {
    const checkpoint = this.index.checkpoints[this.track.checkpoints[t]];
    return checkpoint?.label || `step ${checkpoint?.step ?? t}`;
  }
}

/** Rows with the most certain changes at the last checkpoint first: by the buckets with q at most 0.05, then by the
 * largest change in units of its interval. */
export function byCertainty(data: TrackData): (row: number) => number {
  const buckets = data.index.buckets.map((_, bucket) => bucket);
  const score = new Float64Array(data.features.count);
  for (let row = 0; row < score.length; row++) {
    for (const bucket of buckets) {
      const { change, low, high, q } = data.cell(data.last, bucket, row);
      const size = high > low ? Math.min(Math.abs(change) / (high - low), 1e3) : 0;
      score[row] = Math.max(score[row] % 1e4, size || 0) + 1e4 * (Math.floor(score[row] / 1e4) + (q <= 0.05 ? 1 : 0));
    }
  }
  return (row) => -score[row];
}

export const trackKey = (track: Track): string => `${track.run}.${track.corpus}.${track.measure}`;

/** The track that a key names, else the first. */
export function trackOf(features: Features, key: string | undefined): Track | undefined {
  return features.tracks.find((track) => trackKey(track) === key) ?? features.tracks[0];
}

/** The track with one part of its key exchanged, as near to the others as there is one. */
export function otherTrack(features: Features, from: Track, change: Partial<Pick<Track, "run" | "corpus" | "measure">>): Track {
  const wanted = { run: from.run, corpus: from.corpus, measure: from.measure, ...change };
  const keys = Object.keys(change) as (keyof typeof change)[];
  const fits = features.tracks.filter((track) => keys.every((key) => track[key] === wanted[key]));
  const nearness = (track: Track) =>
    Number(track.run === wanted.run) + Number(track.corpus === wanted.corpus) + Number(track.measure === wanted.measure);
  return fits.sort((a, b) => nearness(b) - nearness(a))[0] ?? from;
}

const ALL: TrackArray[] = [
  "level",
  "change",
  "low",
  "high",
  "q",
  "verdict",
  "floor",
  "floor_low",
  "floor_high",
  "same",
  "same_low",
  "same_high",
];

/** A track with all its arrays; undefined while they are read. */
export function useTrack(index: Index, features: Features, track: Track | undefined): TrackData | undefined {
  const names: Partial<Record<TrackArray, string | null>> = {};
  for (const name of ALL) names[name] = track?.arrays[name] ?? null;
  const arrays = useChunks(names as Record<TrackArray, string | null>);
  const ready = !!arrays;
  return useMemo(() => (track && arrays ? new TrackData(index, features, track, arrays) : undefined), [track, ready]);
}
