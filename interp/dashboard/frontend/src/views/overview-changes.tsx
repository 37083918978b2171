// The story as one table: what training changed in each run, by bucket, with controls and the base sampled again among the rows.
import { linkTo } from "../address";
import { shortOf } from "../names";
import { Missing } from "../parts";
import { downloadCsv, words } from "../text";
import { readable } from "../tokens";
import type { Change, ChangeCell, Index, LatentCount } from "../types";

/** Titles of the measures, and what each is. */
const MEASURES: readonly [measure: string, title: string, meaning: string][] = [
  ["pass_rate", "accuracy", "share of correct answers"],
  ["valid_rate", "validity", "share of answers with every step right"],
  ["lucky_share", "lucky", "share of correct answers with a step that is wrong or missing"],
  ["direct_share", "shortcut", "share of answers given directly, without any step"],
  ["malformed_share", "malformed", "share of answers that are not written as the task asks"],
];
/** The bucket of all answers. */
const ALL = "all";
const LATENTS = "latents";

interface Column {
  measure: string;
  bucket: string;
}

export function Changes({ index, changes }: { index: Index; changes: readonly Change[] }) {
  if (!changes.length)
    return (
      <Missing
        what="two checkpoints of a run that answered the same problems"
        why="Changes come from interp track, interp compare, interp evaluate, or rollouts of both."
      />
    );
  const groups = groupsOf(index, changes);
  const unpaired = changes.some((row) => row.kind !== "base" && !row.paired);
  return (
    <>
      <div class="panel scroll-x" tabIndex={0} role="region" aria-label="What training changed, run by run">
        <table class="changes">
          <thead>
            <tr>
              <th rowSpan={2} scope="col" />
              {groups.map(([measure, columns]) => (
                <th key={measure} colSpan={columns.length} scope="colgroup" class="group" title={meaningOf(measure)}>
                  {titleOf(measure)}
                </th>
              ))}
            </tr>
            <tr>
              {groups.flatMap(([measure, columns]) =>
                columns.map((column, i) => (
                  <th key={`${measure} ${column.bucket}`} scope="col" class={i ? "" : "group"}>
                    {readable(column.bucket)}
                  </th>
                )),
              )}
            </tr>
          </thead>
          <tbody>
            {changes.map((row, i) => (
              <tr key={i} class={row.kind}>
                <th scope="row" title={readable(row.name)}>
                  <RowName index={index} row={row} />
                </th>
                {groups.flatMap(([measure, columns]) =>
                  columns.map((column, j) => (
                    <td key={`${measure} ${column.bucket}`} class={j ? "" : "group"}>
                      {measure === LATENTS ? (
                        <Latents count={row.latents?.find((each) => each.bucket === column.bucket)} />
                      ) : (
                        <Number cell={cellOf(row, column)} isLevel={row.kind === "base"} />
                      )}
                    </td>
                  )),
                )}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <p class="note wide">
        Base: percent. Below: change in percentage points. 95% intervals over problems,{" "}
        {unpaired ? "paired by problem but for ∗" : "paired by problem"}; in colour where they exclude 0. “base again”: the base
        sampled twice, where nothing was trained.
        {groups.some(([measure]) => measure === LATENTS) && " ▲ strengthened, ▼ weakened (q ≤ 0.05)."}{" "}
        <button type="button" class="quiet" onClick={() => saveChanges(changes)}>
          Save CSV
        </button>
      </p>
      <details class="note wide">
        <summary>What the columns count</summary>
        <dl class="meanings">
          {groups
            .filter(([measure]) => measure !== LATENTS)
            .map(([measure]) => (
              <div key={measure}>
                <dt>{titleOf(measure)}</dt>
                <dd>{meaningOf(measure)}</dd>
              </div>
            ))}
        </dl>
      </details>
    </>
  );
}

const titleOf = (measure: string): string =>
  measure === LATENTS ? "latents changed" : (MEASURES.find(([name]) => name === measure)?.[1] ?? words(measure));
const meaningOf = (measure: string): string | undefined => MEASURES.find(([name]) => name === measure)?.[2];

/** The columns of each measure: its buckets; of one that is rare, or known for no bucket, all answers together. */
function groupsOf(index: Index, changes: readonly Change[]): [string, Column[]][] {
  const cells = changes.flatMap((row) => row.cells);
  const groups = MEASURES.map(([measure]): [string, Column[]] => {
    const buckets = new Set(cells.filter((cell) => cell.measure === measure).map((cell) => cell.bucket));
    const named = index.buckets.filter((bucket) => buckets.has(bucket));
    const shown = measure === "malformed_share" || !named.length ? (buckets.has(ALL) ? [ALL] : named) : named;
    return [measure, shown.map((bucket) => ({ measure, bucket }))];
  });
  const tracked = new Set(changes.flatMap((row) => (row.latents ?? []).map((each) => each.bucket)));
  groups.push([LATENTS, index.buckets.filter((bucket) => tracked.has(bucket)).map((bucket) => ({ measure: LATENTS, bucket }))]);
  return groups.filter(([, columns]) => columns.length);
}

const cellOf = (row: Change, { measure, bucket }: Column): ChangeCell | undefined =>
  row.cells.find((cell) => cell.measure === measure && cell.bucket === bucket);

function RowName({ index, row }: { index: Index; row: Change }) {
  const names = row.kind === "against" ? row.name.split(" less ") : [row.name];
  const [name, other] = names.map((each) => shortOf(index, each));
  const remark = { base: row.name === "base" ? "before training" : "", control: "control", against: `less ${other}`, run: "" }[row.kind];
  return (
    <>
      <span class="run-name">
        {row.run === null ? name : <a href={linkTo({ v: "rollouts", w: `run:${row.run}` })}>{name}</a>}
        {row.kind !== "base" && !row.paired && <span title="not paired by problem">∗</span>}
      </span>
      {remark && <span class="remark">{remark}</span>}
      {row.trusted === false && (
        <span class="remark warn" title="The dictionary fits some checkpoint badly: counts of latents are not to be trusted">
          dictionary drifts
        </span>
      )}
    </>
  );
}

function Number({ cell, isLevel }: { cell: ChangeCell | undefined; isLevel: boolean }) {
  if (!cell || cell.value === null) return <span class="muted">–</span>;
  const { value, low, high } = cell;
  const known = low !== null && high !== null;
  const sign = isLevel || !known ? "" : low > 0 ? "pos" : high < 0 ? "neg" : "";
  const text = isLevel ? points(value) : change(value);
  return (
    <span class={`change ${sign}`} title={cell.n ? `n = ${cell.n}` : undefined}>
      <b>{text}</b>
      {known && (
        <small>
          [{points(low)}, {points(high)}]
        </small>
      )}
    </span>
  );
}

function Latents({ count }: { count: LatentCount | undefined }) {
  if (!count) return <span class="muted">–</span>;
  return (
    <span class={`change ${count.strengthened + count.weakened ? "some" : ""}`}>
      <b>
        <span aria-label="strengthened">▲</span>
        {count.strengthened}
      </b>
      <small>
        <span aria-label="weakened">▼</span>
        {count.weakened}
      </small>
    </span>
  );
}

const points = (share: number): string => Math.round(100 * share).toString().replace(/^-0$/, "0").replace("-", "−");
const change = (share: number): string => (Math.round(100 * share) > 0 ? `+${points(share)}` : points(share));

function saveChanges(changes: readonly Change[]): void {
  downloadCsv(
    "what training changed",
    ["row", "kind", "source", "paired", "bucket", "measure", "value", "low", "high", "n"],
    changes.flatMap((row) => [
      ...row.cells.map((c) => [row.name, row.kind, row.source, row.paired, c.bucket, c.measure, c.value, c.low, c.high, c.n]),
      ...(row.latents ?? []).flatMap((count) =>
        (["strengthened", "weakened"] as const).map((verdict) => [
          row.name, row.kind, "tracks", row.paired, count.bucket, `latents ${verdict}`, count[verdict], null, null, null,
        ]),
      ),
    ]),
  );
}
