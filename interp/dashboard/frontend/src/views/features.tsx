// The matrix of features, buckets and checkpoints: what changed since the base, with its floor and the dictionary's drift.
import { useMemo, useRef } from "preact/hooks";
import { useAddress } from "../address";
import type { Report } from "../data";
import { familyOptions, filterLatents, useFeatureTable, useLensTexts, type FeatureTable } from "../features/rows";
import { byCertainty, trackOf, useTrack, type TrackData } from "../features/track";
import { useNotes } from "../notes";
import { Choice, Loading, Missing, Search } from "../parts";
import { sortFrom, sortText, sortRows } from "../table-model";
import { Table } from "../table";
import { count, plural } from "../text";
import { readable } from "../tokens";
import type { Features, Index } from "../types";
import { CellTip, type TipHandle } from "./features-tip";
import { featureColumns, headRows, matrixScale, saveMatrix } from "./features-columns";
import { TrackChoice } from "./features-track";

export function FeaturesView({ report }: { report: Report }) {
  const { features } = report.index;
  if (!features?.count) {
    return (
      <>
        <h2>Features</h2>
        <Missing what="features" />
      </>
    );
  }
  return <Loaded report={report} index={report.index} features={features} />;
}

function Loaded({ report, index, features }: { report: Report; index: Index; features: Features }) {
  const [address] = useAddress();
  const table = useFeatureTable(features);
  const track = trackOf(features, address.track);
  const data = useTrack(index, features, track);
  return (
    <>
      <h2 class="with-facts">
        Features <span class="muted">{describe(features)}</span>
      </h2>
      {table && (data || !track) ? <Matrix report={report} table={table} data={data} /> : <Loading />}
    </>
  );
}

function describe({ dictionary, count: shown }: Features): string {
  const fve = dictionary.fve == null ? "" : `, ${(100 * dictionary.fve).toFixed(1)}% of variance explained`;
  return `${count(shown)} of ${plural(dictionary.width, "latent")} of ${readable(dictionary.name)}, layer ${dictionary.layer}, k = ${dictionary.k}${fve}`;
}

function Matrix({ report, table, data }: { report: Report; table: FeatureTable; data: TrackData | undefined }) {
  const { index } = report;
  const { features } = table;
  const [address, go] = useAddress();
  const [notes] = useNotes(report);
  const tip = useRef<TipHandle>(null);
  const query = address.q ?? "";
  const filter = {
    query,
    role: String(address.role ?? ""),
    verdict: String(address.verdict ?? ""),
    bucket: String(address.bucket ?? ""),
  };
  const lens = useLensTexts(index, features, query !== "" && !!features.lens);
  const numbers = address.as === "table";
  const own = address.scale === "own";
  const certainty = useMemo(() => data && byCertainty(data), [data]);
  const rows = useMemo(() => {
    const fitting = filterLatents(table, filter, notes, data, lens);
    return certainty ? [...fitting].sort((a, b) => certainty(a) - certainty(b) || a - b) : fitting;
  }, [table, data, notes, lens, certainty, query, filter.role, filter.verdict, filter.bucket]);
  const buckets = useMemo(
    () => index.buckets.map((_, b) => b).filter((b) => !filter.bucket || index.buckets[b] === filter.bucket),
    [index, filter.bucket],
  );
  const scale = useMemo(() => data && matrixScale(data), [data]);
  const columns = useMemo(
    () => featureColumns({ table, data, notes, buckets, numbers, own, scale }),
    [table, data, notes, buckets, numbers, own, scale],
  );
  const groups = useMemo(() => (data ? headRows(data, buckets, columns) : []), [data, buckets, columns]);
  const sort = useMemo(() => sortFrom(address.sort as string | undefined), [address.sort]);
  const verdicts: [string, string][] = [["", "any"], ...features.verdicts.map((v): [string, string] => [v, v])];
  return (
    <div class="features">
      <div class="toolbar">
        <Search label="Search" value={query} placeholder="number, role, name, note, token" onInput={(q) => go({ q })} />
        {data && <TrackChoice index={index} features={features} track={data.track} />}
        <Choice label="Role" value={filter.role} options={familyOptions(features)} onChange={(role) => go({ role })} />
        {data && (
          <Choice label="Verdict at the end" value={filter.verdict} options={verdicts} onChange={(verdict) => go({ verdict })} />
        )}
        {data && (
          <Choice
            label="Bucket"
            value={filter.bucket}
            options={[["", "all"], ...index.buckets.map((b): [string, string] => [b, readable(b)])]}
            onChange={(bucket) => go({ bucket })}
          />
        )}
        {data && (
          <Choice
            label="Colour scale"
            value={own ? "own" : ""}
            options={[
              ["", "shared"],
              ["own", "own of each"],
            ]}
            onChange={(value) => go({ scale: value })}
          />
        )}
        {data && (
          <Choice
            label="Show"
            value={numbers ? "table" : ""}
            options={[
              ["", "colours"],
              ["table", "as table"],
            ]}
            onChange={(value) => go({ as: value })}
          />
        )}
      </div>
      {!data && <Missing what="tracks, so only facts of the latents are shown" />}
      <Table
        rows={rows}
        columns={columns}
        groups={groups}
        rowKey={(row) => row}
        label="Features by bucket and checkpoint"
        class={numbers ? "numbers-mode" : "heat-mode"}
        rowHeight={24}
        noCsv
        tools={
          <>
            {data && scale && <Legend max={scale.max} own={own} numbers={numbers} />}
            <button
              type="button"
              class="quiet"
              onClick={() => saveMatrix(table, data, notes, buckets, sortRows(rows, columns, sort))}
            >
              Save CSV
            </button>
          </>
        }
        sort={sort}
        onSort={(next) => go({ sort: sortText(next) })}
        selected={address.f === undefined ? null : table.latents.indexOf(address.f)}
        onSelect={(row, opened) => go(opened ? { v: "feature", f: table.latents[row] } : { f: table.latents[row] })}
        onCell={(row, column, element) => tip.current?.show(row, column?.key ?? null, element)}
        empty="No latent fits the search and the filters."
      />
      {data && <CellTip handle={tip} table={table} data={data} />}
    </div>
  );
}

function Legend({ max, own, numbers }: { max: number; own: boolean; numbers: boolean }) {
  return (
    <span class="heat-legend">
      <span>{own ? "−" : `−${max.toPrecision(2)}`}</span>
      <i aria-hidden="true" />
      <span>{own ? "+" : `+${max.toPrecision(2)}`}</span>
      <span class="muted">
        most certain changes first; change since the base{own ? "" : ", square-root scale"}; {numbers ? "*" : "•"} q ≤ 0.05; F: floor (base against base);
        band: drift of the dictionary
      </span>
    </span>
  );
}
