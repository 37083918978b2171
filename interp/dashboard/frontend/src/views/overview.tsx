// The story on one screen: findings beside their controls, learning, roles beside the control, verdicts, what was left out.
import { useState } from "preact/hooks";
import type { Report } from "../data";
import { LeftOutList } from "../dialogs";
import { Missing } from "../parts";
import { count } from "../text";
import { readable } from "../tokens";
import type { Finding, Index } from "../types";
import { LearningCharts } from "./overview-learning";
import { RoleCounts } from "./overview-roles";
import { Verdicts } from "./overview-verdicts";

/** Findings that stand without a press of a button. */
const AT_FIRST = 4;

export function OverviewView({ report }: { report: Report }) {
  const { index } = report;
  const { overview } = index;
  return (
    <div class="overview">
      <h2 class="sr-only">Overview</h2>
      <Contents index={index} />
      {!overview && <Missing what="overview" />}
      {overview && (
        <>
          <section class="findings" aria-labelledby="findings">
            <h2 id="findings">Findings, each beside its control</h2>
            <Findings findings={overview.findings} />
          </section>
          <section aria-labelledby="learning">
            <h2 id="learning">Learning</h2>
            <LearningCharts index={index} learning={overview.learning} />
          </section>
          <section aria-labelledby="roles">
            <h2 id="roles">Roles that grew, beside the control</h2>
            <RoleCounts index={index} roles={overview.roles} />
          </section>
          <section aria-labelledby="verdicts">
            <h2 id="verdicts">Verdicts</h2>
            <Verdicts verdicts={overview.verdicts} />
          </section>
        </>
      )}
      <section aria-labelledby="left-out">
        <h2 id="left-out">What was left out</h2>
        {index.left_out.length ? (
          <LeftOutList sentences={index.left_out} />
        ) : (
          <p class="muted">Nothing: everything that was given is shown.</p>
        )}
      </section>
    </div>
  );
}

function Findings({ findings }: { findings: readonly Finding[] }) {
  const [all, setAll] = useState(false);
  if (!findings.length) return <Missing what="findings" />;
  const shown = all ? findings : findings.slice(0, AT_FIRST);
  return (
    <>
      <ol>
        {shown.map((finding, i) => (
          <li key={i}>
            <p>{readable(finding.text)}</p>
            {finding.detail && <p class="muted">{readable(finding.detail)}</p>}
          </li>
        ))}
      </ol>
      {findings.length > AT_FIRST && (
        <button type="button" class="quiet" aria-expanded={all} onClick={() => setAll(!all)}>
          {all ? `Show the first ${AT_FIRST}` : `Show all ${findings.length} findings`}
        </button>
      )}
    </>
  );
}

/** What the report holds, in one line, and runs that are partial. */
function Contents({ index }: { index: Index }) {
  const { features, rollouts } = index;
  const facts: [string, string][] = [
    ["runs", count(index.runs.length)],
    ["checkpoints", count(index.checkpoints.length)],
    ["latents shown", features ? `${count(features.count)} of ${count(features.dictionary.width)}` : "–"],
    ["rollouts", rollouts ? count(rollouts.count) : "–"],
    ["buckets", index.buckets.join(", ") || "–"],
  ];
  const partial = index.runs.filter((run) => run.note);
  return (
    <section class="contents" aria-label="What this report holds">
      <dl>
        {facts.map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{readable(value)}</dd>
          </div>
        ))}
      </dl>
      {partial.map((run, i) => (
        <p key={i} class="partial">
          {readable(run.name)}: {readable(run.note)}
        </p>
      ))}
    </section>
  );
}
