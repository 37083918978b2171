// The group of a rollout: its siblings, and why it has its advantage.
import { linkTo } from "../address";
import type { Report } from "../data";
import { baselineOf, expectedAdvantage, explainAdvantage, explainTokens, type Sibling } from "../rollouts/advantage";
import { checkpointWord } from "../rollouts/filters";
import { SOURCE_WORDS, type RolloutStore } from "../rollouts/store";
import { Loading } from "../parts";
import { num, plural, signed } from "../text";
import { readable } from "../tokens";
import { SamePrompt } from "./group-places";
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
