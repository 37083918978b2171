// Which track is shown: run, text, measure.
import { useAddress } from "../address";
import { otherTrack, trackKey } from "../features/track";
import { runName } from "../names";
import { Choice } from "../parts";
import { words } from "../text";
import { readable } from "../tokens";
import type { Features, Index, Track } from "../types";

export function TrackChoice({ index, features, track }: { index: Index; features: Features; track: Track }) {
  const [, go] = useAddress();
  const distinct = <T,>(values: T[]): T[] => [...new Set(values)];
  const pick = (change: Partial<Pick<Track, "run" | "corpus" | "measure">>) =>
    go({ track: trackKey(otherTrack(features, track, change)) });
  const runs = distinct(features.tracks.map((each) => each.run));
  const nameOf = (run: number) =>
    index.runs[run] ? runName(index, run) : readable(features.tracks.find((each) => each.run === run)?.name ?? `run ${run}`);
  return (
    <>
      <Choice
        label="Run"
        value={String(track.run)}
        options={runs.map((run) => [String(run), nameOf(run)])}
        onChange={(run) => pick({ run: Number(run) })}
      />
      <Choice
        label="Text"
        value={track.corpus}
        options={distinct(features.tracks.map((each) => each.corpus)).map((corpus) => [corpus, readable(corpus)])}
        onChange={(corpus) => pick({ corpus })}
      />
      <Choice
        label="Measure"
        value={track.measure}
        options={distinct(features.tracks.map((each) => each.measure)).map((measure) => [measure, words(measure)])}
        onChange={(measure) => pick({ measure })}
      />
    </>
  );
}
