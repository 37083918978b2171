// The story on one screen: what training changed run by run, roles that grew, verdicts; below, learning, findings in sentences, what was left out.
import type { Report } from "../data";
import { LeftOutList } from "../dialogs";
import { Missing } from "../parts";
import { count, plural } from "../text";
import { readable } from "../tokens";
import type { Finding, Index } from "../types";
import { Changes } from "./overview-changes";
import { LearningCharts } from "./overview-learning";
import { RoleCounts } from "./overview-roles";
import { Verdicts } from "./overview-verdicts";

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
          <section aria-labelledby="changes">
            <h2 id="changes">What training changed</h2>
            <Changes index={index} changes={overview.changes ?? []} />
          </section>
          <div class="story">
            <section aria-labelledby="roles">
              <h2 id="roles">Roles that grew</h2>
              <RoleCounts index={index} roles={overview.roles} earned={overview.earned ?? null} />
            </section>
            <div>
              <section aria-labelledby="verdicts">
                <h2 id="verdicts">Verdicts</h2>
                <Verdicts verdicts={overview.verdicts} />
              </section>
              <section class="findings" aria-labelledby="findings">
                <h2 id="findings">Findings in sentences</h2>
                <Findings findings={overview.findings} />
              </section>
            </div>
          </div>
          <section aria-labelledby="learning">
            <h2 id="learning">Learning by step</h2>
            <LearningCharts index={index} learning={overview.learning} />
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

/** Each finding folds its control and what stands beside it. */
function Findings({ findings }: { findings: readonly Finding[] }) {
  if (!findings.length) return <Missing what="findings" />;
  return (
    <details>
      <summary>{plural(findings.length, "finding")}, each with its control</summary>
      <ol>
        {findings.map((finding, i) => (
          <li key={i}>
            <p>{readable(finding.text)}</p>
            {finding.detail && <p class="muted">{readable(finding.detail)}</p>}
          </li>
        ))}
      </ol>
    </details>
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
