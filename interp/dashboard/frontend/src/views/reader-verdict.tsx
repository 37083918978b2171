// The verdict on a rollout, in one line of terms.
import { fieldOf, formatFilters } from "../rollouts/filters";
import { PROBE_TEXT, SOURCE_WORDS, type RolloutStore } from "../rollouts/store";
import { linkTo } from "../address";
import { readable } from "../tokens";
import { Fact, OutcomeBadge, short } from "./rollouts-parts";

const YES_NO = ["no", "yes", "unknown"];

export function Verdict({ store, row }: { store: RolloutStore; row: number }) {
  const { columns } = store;
  const problem = store.problem(row);
  const gate = columns.gate[row];
  const answer = store.answers[row];
  const bucket = store.bucketName(row);
  return (
    <dl class="verdict">
      <Fact name="outcome">
        <OutcomeBadge outcome={store.outcome(row)} />
      </Fact>
      <Fact name="reward">{short(columns.reward[row])}</Fact>
      <Fact name="answer" title="The answer read from the completion, against the label">
        {answer == null ? <span class="muted">none</span> : <q>{shortened(answer)}</q>}
        {problem.label !== null && (
          <>
            {" "}
            <span class="muted">label</span> <q>{shortened(problem.label)}</q>
          </>
        )}
      </Fact>
      <Fact name="correct">{YES_NO[columns.correct[row]] ?? "unknown"}</Fact>
      <Fact name="valid" title="Whether every step is right">
        {YES_NO[columns.valid[row]] ?? "unknown"}
      </Fact>
      <Fact name="lucky" title="Right, but not valid">
        {YES_NO[columns.lucky[row]] ?? "unknown"}
      </Fact>
      <Fact name="format">{readable(store.formatName(row)) || "–"}</Fact>
      {bucket && <Fact name="bucket">{readable(bucket)}</Fact>}
      <Fact name="tokens">
        {columns.length[row]}
        {columns.truncated[row] ? ", cut off at the limit" : ""}
      </Fact>
      {!Number.isNaN(gate) && (
        <Fact name="gate" title="Share of its reward that the credit scheme left it">
          {short(gate)}
        </Fact>
      )}
      <Fact name="source" title={columns.source[row] === PROBE_TEXT ? "The base wrote it; this checkpoint read it" : undefined}>
        {SOURCE_WORDS[columns.source[row]] ?? "unknown"}
        {columns.source[row] === PROBE_TEXT && ", by the base"}
      </Fact>
      <Fact name="problem">
        <a href={linkTo({ v: "rollouts", w: formatFilters(new Map([["problem", new Set([fieldOf("problem")!.value(store, row)])]])) })}>
          {readable(shortened(problem.id))}
        </a>
        {problem.depth !== null && `, depth ${problem.depth}`}, sample {columns.sample[row]}
      </Fact>
    </dl>
  );
}

const LONGEST = 60;

const shortened = (text: string): string => readable(text.length > LONGEST ? `${text.slice(0, LONGEST)}…` : text);
