// The prompt of a rollout at every checkpoint and in every run: how often each answered it validly, luckily, or not at all.
import { linkTo } from "../address";
import { checkpointWord, formatFilters } from "../rollouts/filters";
import { OUTCOMES, OUTCOME_WORDS, PROBE_TEXT, SHORT_SOURCE_WORDS, SOURCE_WORDS, type Outcome, type RolloutStore } from "../rollouts/store";
import { readable } from "../tokens";

interface Place {
  checkpoint: number;
  source: number;
  first: number;
  n: number;
  reward: number;
  counts: Record<Outcome, number>;
}

/** Probe text says nothing of its reader: the base wrote it. */
function placesOf(store: RolloutStore, problem: number): Place[] {
  const { columns } = store;
  const places = new Map<string, Place>();
  for (let row = 0; row < store.count; row++) {
    if (columns.problem[row] !== problem || columns.source[row] === PROBE_TEXT) continue;
    const [checkpoint, source] = [columns.checkpoint[row], columns.source[row]];
    const key = `${checkpoint}:${source}`;
    let place = places.get(key);
    if (!place) {
      const counts = { valid: 0, lucky: 0, unknown: 0, wrong: 0 };
      places.set(key, (place = { checkpoint, source, first: row, n: 0, reward: 0, counts }));
    }
    place.n++;
    place.reward += columns.reward[row];
    place.counts[store.outcome(row)]++;
  }
  const order = (place: Place) => store.runOf(place.checkpoint);
  return [...places.values()].sort((a, b) => order(a) - order(b) || stepOf(store, a) - stepOf(store, b) || a.source - b.source);
}

const stepOf = (store: RolloutStore, place: Place): number => store.report.index.checkpoints[place.checkpoint]?.step ?? 0;

export function SamePrompt({ store, row }: { store: RolloutStore; row: number }) {
  const { columns } = store;
  const places = placesOf(store, columns.problem[row]);
  if (places.length < 2) return <p class="muted">This report has this prompt at no other checkpoint and in no other run.</p>;
  const runs = [...new Set(places.map((place) => store.runOf(place.checkpoint)))];
  return (
    <section aria-labelledby="same-prompt">
      <h3 id="same-prompt">The same prompt at every checkpoint and in every run</h3>
      <div class="scroll-x" tabIndex={0} role="region" aria-label="The same prompt elsewhere">
        <table class="plain">
          <thead>
            <tr>
              <th scope="col">checkpoint</th>
              <th scope="col">source</th>
              <th scope="col" class="right">
                n
              </th>
              {OUTCOMES.map((outcome) => (
                <th key={outcome} scope="col" class="right" title={OUTCOME_WORDS[outcome]}>
                  {outcome}
                </th>
              ))}
              <th scope="col">
                <span class="sr-only">Shares as a bar</span>
              </th>
              <th scope="col" class="right">
                mean reward
              </th>
            </tr>
          </thead>
          {runs.map((run) => (
            <tbody key={run}>
              {runs.length > 1 && (
                <tr>
                  <th scope="rowgroup" colSpan={9} class="run">
                    {readable(store.report.index.runs[run]?.name ?? "no run")}
                  </th>
                </tr>
              )}
              {places
                .filter((place) => store.runOf(place.checkpoint) === run)
                .map((place) => (
                  <PlaceRow
                    key={`${place.checkpoint}:${place.source}`}
                    store={store}
                    problem={columns.problem[row]}
                    place={place}
                    here={place.checkpoint === columns.checkpoint[row] && place.source === columns.source[row]}
                  />
                ))}
            </tbody>
          ))}
        </table>
      </div>
    </section>
  );
}

interface PlaceRowProps {
  store: RolloutStore;
  problem: number;
  place: Place;
  here: boolean;
}

function PlaceRow({ store, problem, place, here }: PlaceRowProps) {
  return (
    <tr class={here ? "current" : ""} aria-current={here ? "true" : undefined}>
      <td>
        <a href={linkTo({ v: "rollouts", r: place.first, pane: "group" })}>{readable(store.checkpointLabel(place.checkpoint))}</a>
      </td>
      <td title={SOURCE_WORDS[place.source]}>{SHORT_SOURCE_WORDS[place.source] ?? "unknown"}</td>
      <td class="right">
        <a href={placeLink(problem, place)} aria-label={`List the ${place.n} rollouts of this prompt, ${checkpointWord(store, place.checkpoint)}`}>
          {place.n}
        </a>
      </td>
      {OUTCOMES.map((outcome) => (
        <td key={outcome} class="right">
          {place.counts[outcome] || <span class="muted">0</span>}
        </td>
      ))}
      <td class="meter-cell">
        <OutcomeBar counts={place.counts} n={place.n} />
      </td>
      <td class="right">{(place.reward / place.n).toFixed(2)}</td>
    </tr>
  );
}

function placeLink(problem: number, place: Place): string {
  const filters = Object.entries({ problem, checkpoint: place.checkpoint, source: place.source });
  return linkTo({ v: "rollouts", w: formatFilters(new Map(filters.map(([key, value]) => [key, new Set([String(value)])]))) });
}

function OutcomeBar({ counts, n }: { counts: Record<Outcome, number>; n: number }) {
  return (
    <span class="outcome-bar" aria-hidden="true">
      {OUTCOMES.map((outcome) => (
        <span key={outcome} class={outcome} style={{ flexGrow: String(counts[outcome] / n) }} />
      ))}
    </span>
  );
}
