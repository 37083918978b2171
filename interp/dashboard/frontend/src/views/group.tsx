// The group of a rollout: its siblings, why it has its advantage, and the same prompt at other checkpoints and in other runs.
import { linkTo } from "../address";
import type { Report } from "../data";
import { baselineOf, expectedAdvantage, explainAdvantage, explainTokens, type Sibling } from "../rollouts/advantage";
import { checkpointWord, formatFilters } from "../rollouts/filters";
import { OUTCOMES, OUTCOME_WORDS, SHORT_SOURCE_WORDS, SOURCE_WORDS, type Outcome, type RolloutStore } from "../rollouts/store";
import { Loading } from "../parts";
import { num, plural, signed } from "../text";
import { readable } from "../tokens";
import { OutcomeBadge, short, usePromise } from "./rollouts-parts";

interface GroupProps {
  report: Report;
  store: RolloutStore;
  row: number;
}

export function GroupView({ store, row }: GroupProps) {
  const advantages = usePromise(() => store.advantages(), [store]);
  const ofTokens = usePromise(() => store.tokens(row, "advantage"), [store, row]);
  if (!advantages) return <Loading />;
  const rows = store.siblings(row);
  const siblings = rows.map((each): Sibling => {
    return { reward: store.columns.reward[each], gate: store.columns.gate[each], advantage: advantages[each] };
  });
  return (
    <div class="group">
      <Why sentences={[...explainAdvantage(siblings, rows.indexOf(row)), ...explainTokens(ofTokens)]} />
      <Siblings store={store} row={row} rows={rows} siblings={siblings} />
      <SamePrompt store={store} row={row} />
    </div>
  );
}

function Why({ sentences }: { sentences: readonly string[] }) {
  return (
    <section aria-labelledby="why-advantage">
      <h3 id="why-advantage">Why this advantage</h3>
      {sentences.map((sentence) => (
        <p key={sentence} class="why">
          {sentence}
        </p>
      ))}
    </section>
  );
}

interface SiblingsProps {
  store: RolloutStore;
  row: number;
  rows: readonly number[];
  siblings: readonly Sibling[];
}

function Siblings({ store, row, rows, siblings }: SiblingsProps) {
  const baseline = baselineOf(siblings);
  const { columns } = store;
  const trained = siblings.some((each) => !Number.isNaN(each.advantage));
  const reach = Math.max(...baseline.kept.map((kept) => Math.abs(kept - baseline.mean))) || 1;
  return (
    <section aria-labelledby="siblings">
      <h3 id="siblings">
        The group{" "}
        <span class="muted">
          {plural(rows.length, "rollout")} of this prompt, {readable(checkpointWord(store, columns.checkpoint[row]))}, {SOURCE_WORDS[columns.source[row]]};
          mean {num(baseline.mean, 3)}, deviation {num(baseline.deviation, 3)}
        </span>
      </h3>
      <div class="scroll-x" tabIndex={0} role="region" aria-label="Siblings">
        <table class="plain">
          <thead>
            <tr>
              <th scope="col" class="right">
                sample
              </th>
              <th scope="col">outcome</th>
              <th scope="col">answer</th>
              <th scope="col" class="right">
                tokens
              </th>
              <th scope="col" class="right">
                reward
              </th>
              {baseline.gated && (
                <>
                  <th scope="col" class="right">
                    gate
                  </th>
                  <th scope="col" class="right" title="reward × gate">
                    kept
                  </th>
                </>
              )}
              <th scope="col" class="right">
                above mean
              </th>
              <th scope="col">
                <span class="sr-only">As a bar</span>
              </th>
              <th scope="col" class="right" title="(kept − mean) / (deviation + 0.0001)">
                GRPO
              </th>
              {trained && (
                <th scope="col" class="right" title="The recorded advantage: the mean over the tokens">
                  recorded
                </th>
              )}
            </tr>
          </thead>
          <tbody>
            {rows.map((each, at) => (
              <tr key={each} class={each === row ? "current" : ""} aria-current={each === row ? "true" : undefined}>
                <td class="right">
                  <a href={linkTo({ v: "rollouts", r: each, pane: "group" })} title={`Rollout ${each}`}>
                    {columns.sample[each]}
                  </a>
                </td>
                <td>
                  <OutcomeBadge outcome={store.outcome(each)} short />
                </td>
                <td class="clip">{answerOf(store, each)}</td>
                <td class="right">
                  {columns.length[each]}
                  {columns.truncated[each] ? " cut" : ""}
                </td>
                <td class="right">{short(siblings[at].reward)}</td>
                {baseline.gated && (
                  <>
                    <td class="right">{short(siblings[at].gate)}</td>
                    <td class="right">{short(baseline.kept[at])}</td>
                  </>
                )}
                <td class="right">{signed(baseline.kept[at] - baseline.mean, 2)}</td>
                <td class="meter-cell">
                  <Deviation value={(baseline.kept[at] - baseline.mean) / reach} />
                </td>
                <td class="right">{rows.length > 1 ? signed(expectedAdvantage(baseline, at), 2) : "–"}</td>
                {trained && <td class="right">{signed(siblings[at].advantage, 2)}</td>}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

/** A bar to the left or right of its middle. */
function Deviation({ value }: { value: number }) {
  const side = value < 0 ? "neg" : "pos";
  return <span class={`deviation ${side}`} style={{ "--w": String(Math.min(1, Math.abs(value))) }} aria-hidden="true" />;
}

function answerOf(store: RolloutStore, row: number) {
  const answer = store.answers[row];
  return answer == null ? <span class="muted">none</span> : readable(answer.slice(0, 40));
}

// --- the same prompt elsewhere -------------------------------------------------------------------------------------

interface Place {
  checkpoint: number;
  source: number;
  first: number;
  n: number;
  reward: number;
  counts: Record<Outcome, number>;
}

function placesOf(store: RolloutStore, problem: number): Place[] {
  const { columns } = store;
  const places = new Map<string, Place>();
  for (let row = 0; row < store.count; row++) {
    if (columns.problem[row] !== problem) continue;
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

function SamePrompt({ store, row }: { store: RolloutStore; row: number }) {
  const { columns } = store;
  const places = placesOf(store, columns.problem[row]);
  if (places.length < 2) return <p class="muted">This report has this prompt at no other checkpoint and in no other run.</p>;
  const here = (place: Place) => place.checkpoint === columns.checkpoint[row] && place.source === columns.source[row];
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
          <tbody>
            {places.map((place) => (
              <tr key={`${place.checkpoint}:${place.source}`} class={here(place) ? "current" : ""} aria-current={here(place) ? "true" : undefined}>
                <td class="wrap">
                  <a href={linkTo({ v: "rollouts", r: place.first, pane: "group" })}>{readable(checkpointWord(store, place.checkpoint))}</a>
                </td>
                <td title={SOURCE_WORDS[place.source]}>{SHORT_SOURCE_WORDS[place.source] ?? "unknown"}</td>
                <td class="right">
                  <a
                    href={placeLink(columns.problem[row], place)}
                    aria-label={`List the ${place.n} rollouts of this prompt, ${checkpointWord(store, place.checkpoint)}`}
                  >
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
            ))}
          </tbody>
        </table>
      </div>
    </section>
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
