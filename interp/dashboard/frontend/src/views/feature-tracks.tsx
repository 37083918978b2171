// The track of one latent: change since the base by bucket, with intervals, floor and drift, on each text; then the same text.
import { useAddress } from "../address";
import { Dots, Lines, type LineSeries } from "../charts";
import { Heat } from "../charts";
import { scaleOf } from "../colors";
import { trackKey, trackOf, useTrack, type TrackData } from "../features/track";
import { Loading, Missing } from "../parts";
import { num, words } from "../text";
import { readable } from "../tokens";
import type { Index, Track } from "../types";
import { driftText } from "./features-columns";
import { TrackChoice } from "./features-track";
import type { FeatureProps } from "./feature";

export function FeatureTracks({ report, features, row }: FeatureProps) {
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
      <div class="panels">
        {siblings.map((each) => (
          <TrackChart key={trackKey(each)} index={index} features={features} track={each} row={row} />
        ))}
      </div>
    </>
  );
}

interface ChartProps extends Pick<FeatureProps, "features" | "row"> {
  index: Index;
  track: Track;
}

function TrackChart({ index, features, track, row }: ChartProps) {
  const data = useTrack(index, features, track);
  if (!data) return <Loading />;
  const measure = words(track.measure);
  const text = readable(track.corpus);
  const labels = new Map(data.track.checkpoints.map((_, t) => [data.step(t), data.label(t)]));
  return (
    <>
      <div>
        <Lines
          title={`Change of ${measure}, ${text}`}
          level={4}
          description={`Change since the base of the ${measure} of this latent on ${text} text, over the steps of the run, by bucket, with 95% intervals. Dotted boxes: the base against the base sampled again.`}
          series={bucketSeries(data, row)}
          floors={index.buckets.map((_, b) => ({ name: "floor: base against base", ...data.floor(b, row), hue: b }))}
          strip={{ name: "drift", cells: stripCells(data) }}
          labels={labels}
          zero
          xName="step"
          yName={`change of ${measure}`}
          height={230}
          note={verdictLine(data, row)}
        />
      </div>
      {track.corpus === "probe" || !track.arrays.same ? <HeatOf data={data} row={row} /> : <SameText data={data} row={row} />}
    </>
  );
}

function bucketSeries(data: TrackData, row: number): LineSeries[] {
  return data.index.buckets.map((bucket, b) => ({
    name: readable(bucket),
    hue: b,
    points: data.track.checkpoints.map((checkpoint, t) => {
      if (checkpoint === data.track.base) return { x: data.step(t), y: 0 };
      const cell = data.cell(t, b, row);
      return { x: data.step(t), y: cell.change, low: cell.low, high: cell.high, note: cell.q <= 0.05 ? `(q = ${num(cell.q)})` : "" };
    }),
  }));
}

/** A checkpoint is trusted if the dictionary is in every bucket. */
function stripCells(data: TrackData): { x: number; bad: boolean; text: string }[] {
  return data.steps.flatMap((t) => {
    const all = data.index.buckets.map((_, b) => b).filter((b) => data.drift(t, b));
    if (!all.length) return [];
    const worst = all.find((b) => !data.drift(t, b)!.trusted) ?? all[0];
    return [{ x: data.step(t), bad: !data.drift(t, worst)!.trusted, text: driftText(data, t, worst) }];
  });
}

function verdictLine(data: TrackData, row: number): string {
  const each = data.index.buckets.map((bucket, b) => `${readable(bucket)}: ${data.verdict(data.last, b, row) || "no verdict"}`);
  return `At ${readable(data.label(data.last))}: ${each.join("; ")}.`;
}

function SameText({ data, row }: { data: TrackData; row: number }) {
  const rows = data.index.buckets.flatMap((bucket, b) => [
    { name: `${readable(bucket)}, own text`, hue: b, ...lastChange(data, b, row) },
    { name: `${readable(bucket)}, same text`, hue: b, ...data.same(b, row) },
    { name: `${readable(bucket)}, floor`, hue: 6, ...data.floor(b, row) },
  ]);
  return (
    <div>
      <Dots
        title="At the end: own text, the same text, floor"
        level={4}
        description="Change of the last checkpoint since the base, by bucket: on the text that each wrote itself, on the same probe text, and the base against the base sampled again. With 95% intervals."
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

function HeatOf({ data, row }: { data: TrackData; row: number }) {
  const cells = data.index.buckets.map((_, b) =>
    data.steps.map((t) => {
      const cell = data.cell(t, b, row);
      return { value: cell.change, low: cell.low, high: cell.high, marked: cell.q <= 0.05 };
    }),
  );
  return (
    <div>
      <Heat
        title={`Change by step, ${readable(data.track.corpus)}`}
        level={4}
        description="Change since the base, by bucket and step. A dot marks q of at most 0.05."
        rows={data.index.buckets.map(readable)}
        columns={data.steps.map((t) => String(data.step(t)))}
        cells={cells}
        scale={scaleOf(cells.flat().map((cell) => cell.value), "diverging", 1)}
        note="A dot: q ≤ 0.05. Orange: more than the base; blue: less."
      />
    </div>
  );
}
