// The track of one latent: change since the base by bucket, with intervals, floor and drift, on each text; then the same text.
import { useAddress } from "../address";
import { Dots, Heat, Lines, type LineSeries } from "../charts";
import { extent } from "../charts/axis";
import { scaleOf } from "../colors";
import { trackKey, trackOf, useTrack, type TrackData } from "../features/track";
import { Loading, Missing } from "../parts";
import { num, words } from "../text";
import { readable } from "../tokens";
import type { Index, Track } from "../types";
import { driftText } from "./features-columns";
import { TrackChoice } from "./features-track";
import type { FeatureProps } from "./feature";

export function FeatureTracks({ report, features, row, latent }: FeatureProps) {
  const { index } = report;
  const [address] = useAddress();
  const track = trackOf(features, address.track);
  if (!track) return <Missing what="tracks" />;
  const siblings = features.tracks.filter((each) => each.run === track.run && each.measure === track.measure);
  return (
    <>
      <div class="toolbar">
        <TrackChoice index={index} features={features} track={track} />
      </div>
      {siblings.map((each) => (
        <TrackChart key={trackKey(each)} index={index} features={features} track={each} row={row} latent={latent} />
      ))}
      <p class="note">
        Band: 95% interval. Filled dot: q ≤ 0.05. Dotted box: the floor, the base against the base sampled again. Squares below
        the axis: drift of the dictionary; red where it is not to be trusted.
      </p>
    </>
  );
}

interface ChartProps extends Pick<FeatureProps, "features" | "row" | "latent"> {
  index: Index;
  track: Track;
}

function TrackChart({ index, features, track, row, latent }: ChartProps) {
  const data = useTrack(index, features, track);
  if (!data) return <Loading />;
  const range = rangeOf(data, row);
  return (
    <div class="track">
      <h4>
        {readable(track.corpus)} text <span class="muted">change of {words(track.measure)} since the base</span>
      </h4>
      <div class="panels">
        {index.buckets.map((_, b) => (
          <BucketChart key={b} data={data} bucket={b} row={row} latent={latent} range={range} />
        ))}
        {track.arrays.same && track.corpus !== "probe" ? (
          <SameText data={data} row={row} latent={latent} />
        ) : (
          <HeatOf data={data} row={row} latent={latent} />
        )}
      </div>
    </div>
  );
}

/** One range for all buckets, so that their panels can be compared. */
function rangeOf(data: TrackData, row: number): [number, number] {
  const values = data.index.buckets.flatMap((_, b) => {
    const floor = data.floor(b, row);
    return [
      0,
      floor.low,
      floor.high,
      ...data.steps.flatMap((t) => [data.at("low", t, b, row), data.at("high", t, b, row), data.at("change", t, b, row)]),
    ];
  });
  const [low, high] = extent(values);
  return low === high ? [-1, 1] : [low, high];
}

interface BucketProps {
  data: TrackData;
  bucket: number;
  row: number;
  latent: number;
  range: [number, number];
}

function BucketChart({ data, bucket, row, latent, range }: BucketProps) {
  const name = readable(data.index.buckets[bucket]);
  const measure = words(data.track.measure);
  return (
    <Lines
      title={name}
      level={4}
      saveAs={`Latent ${latent}, ${name}, ${readable(data.track.corpus)} text: change of ${measure}`}
      description={
        `Change since the base of the ${measure} of this latent in the bucket ${name} on ${readable(data.track.corpus)} text, ` +
        "over the steps of the run, with 95% intervals. Filled dots: q of at most 0.05. " +
        "Dotted box: the base against the base sampled again."
      }
      series={[bucketSeries(data, bucket, row)]}
      floors={[{ name: "floor", ...data.floor(bucket, row), hue: 6 }]}
      strip={{ name: "drift", cells: stripCells(data, bucket) }}
      labels={new Map(data.track.checkpoints.map((_, t) => [data.step(t), data.label(t)]))}
      zero
      range={range}
      xName="step"
      yName={`change of ${measure}`}
      height={170}
      legend={false}
      note={`${readable(data.label(data.last))}: ${data.verdict(data.last, bucket, row) || "no verdict"}`}
    />
  );
}

function bucketSeries(data: TrackData, b: number, row: number): LineSeries {
  return {
    name: readable(data.index.buckets[b]),
    hue: b,
    points: data.track.checkpoints.map((checkpoint, t) => {
      if (checkpoint === data.track.base) return { x: data.step(t), y: 0, marked: false };
      const cell = data.cell(t, b, row);
      const marked = cell.q <= 0.05;
      return {
        x: data.step(t),
        y: cell.change,
        low: cell.low,
        high: cell.high,
        marked,
        note: Number.isFinite(cell.q) ? `(q = ${num(cell.q)})` : "",
      };
    }),
  };
}

function stripCells(data: TrackData, bucket: number): { x: number; bad: boolean; text: string }[] {
  return data.steps.flatMap((t) => {
    const drift = data.drift(t, bucket);
    return drift ? [{ x: data.step(t), bad: !drift.trusted, text: driftText(data, t, bucket) }] : [];
  });
}

function SameText({ data, row, latent }: Pick<BucketProps, "data" | "row" | "latent">) {
  const rows = data.index.buckets.flatMap((bucket, b) => [
    { name: `${readable(bucket)}, own text`, hue: b, ...lastChange(data, b, row) },
    { name: `${readable(bucket)}, same text`, hue: b, ...data.same(b, row) },
    { name: `${readable(bucket)}, floor`, hue: 6, ...data.floor(b, row) },
  ]);
  return (
    <div>
      <Dots
        title="At the end"
        saveAs={`Latent ${latent}: at the end on its own text, on the same text, and the floor`}
        level={4}
        description={
          "Change of the last checkpoint since the base, by bucket: on the text that each wrote itself, on the same probe text, " +
          "and the base against the base sampled again. With 95% intervals."
        }
        rows={rows}
        xName={`change of ${words(data.track.measure)}`}
        zero
      />
    </div>
  );
}

function lastChange(data: TrackData, bucket: number, row: number) {
  const cell = data.cell(data.last, bucket, row);
  return { value: cell.change, low: cell.low, high: cell.high };
}

function HeatOf({ data, row, latent }: Pick<BucketProps, "data" | "row" | "latent">) {
  const cells = data.index.buckets.map((_, b) =>
    data.steps.map((t) => {
      const cell = data.cell(t, b, row);
      return { value: cell.change, low: cell.low, high: cell.high, marked: cell.q <= 0.05 };
    }),
  );
  return (
    <div>
      <Heat
        title="By step"
        saveAs={`Latent ${latent}, ${readable(data.track.corpus)} text: change of ${words(data.track.measure)}`}
        level={4}
        description="Change since the base, by bucket and step. A dot marks q of at most 0.05."
        rows={data.index.buckets.map(readable)}
        columns={data.steps.map((t) => String(data.step(t)))}
        cells={cells}
        scale={scaleOf(
          cells.flat().map((cell) => cell.value),
          "diverging",
          1,
        )}
        note="Orange: more than the base; blue: less."
      />
    </div>
  );
}
