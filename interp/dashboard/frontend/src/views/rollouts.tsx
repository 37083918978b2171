// The rollouts: search, filters and a list of all of them; beside it the reader of the one that is open.
import { useEffect, useMemo, useState } from "preact/hooks";
import { useAddress } from "../address";
import type { Report } from "../data";
import { useKeys } from "../keys";
import { Loading, Missing } from "../parts";
import { filterRows, parseFilters } from "../rollouts/filters";
import type { RolloutStore } from "../rollouts/store";
import { sortFrom, sortText, type Sort } from "../table-model";
import { Table } from "../table";
import { plural } from "../text";
import { ReaderView } from "./reader";
import { FilterBar } from "./rollouts-filters";
import { listColumns, saveRollouts, sortedByColumn } from "./rollouts-columns";
import { useLatentNumbers, useStore } from "./rollouts-parts";

export function RolloutsView({ report }: { report: Report }) {
  return report.index.rollouts?.count ? <Opened report={report} /> : <Missing what="rollouts" />;
}

function Opened({ report }: { report: Report }) {
  const store = useStore(report);
  if (!store) return <Loading />;
  return <Browser report={report} store={store} />;
}

function Browser({ report, store }: { report: Report; store: RolloutStore }) {
  const [address, go] = useAddress();
  const numbers = useLatentNumbers(report);
  const filters = useMemo(() => parseFilters(address.w as string | undefined), [address.w]);
  const hit = useHits(store, address.q ?? "");
  const textsReady = useTexts(store);
  const latent = numbers && address.l !== undefined ? Array.prototype.indexOf.call(numbers, address.l) : -1;
  const peaks = usePeaks(store, latent);
  const sort = useMemo(() => sortFrom(address.sort as string | undefined), [address.sort]);
  const advantages = useAdvantages(store, textsReady === store.blocks.length);
  const rows = useMemo(() => filterRows(store, filters, hit), [store, filters, hit]);
  const open = address.r !== undefined && address.r < store.count ? address.r : null;
  const columns = useMemo(
    () => listColumns({ store, advantages, peaks, latent: address.l, query: address.q ?? "", narrow: open !== null, sort, filters, go }),
    [store, advantages, peaks, address.l, address.q, open !== null, sort, filters, textsReady],
  );
  useKeys({
    "=": filterByFocusedCell,
    ...(open === null ? {} : { Escape: () => go(address.t === undefined ? { r: null, pane: null } : { t: null }) }),
  });
  const onSort = (next: Sort | null) => go({ sort: sortText(next) });
  const sorted = useMemo(() => sortedByColumn(rows, columns, sort), [rows, columns, sort]);
  const save = () => saveRollouts(store, sorted, advantages, peaks, address.l);

  return (
    <div class="rollouts-frame">
    <div class={`rollouts ${open === null ? "" : "split"}`}>
      <section class="list" aria-label="List of rollouts">
        <FilterBar report={report} store={store} filters={filters} latentUnknown={address.l !== undefined && latent < 0} />
        <Table
          rows={rows}
          columns={columns}
          rowKey={(row) => row}
          label="Rollouts"
          sort={sort}
          onSort={onSort}
          selected={open}
          onSelect={(row) => go({ r: row, t: row === open ? address.t : null })}
          noCsv
          empty="No rollout fits the search and the filters."
          height={open === null ? undefined : "max(260px, calc(var(--view) - 300px))"}
          tools={
            <>
              <span class="of">{rows.length < store.count && `of ${plural(store.count, "rollout")}`}</span>
              <button type="button" class="quiet" onClick={save}>
                Save CSV
              </button>
            </>
          }
        />
      </section>
      {open !== null && <ReaderView report={report} store={store} row={open} order={sorted} />}
      {address.r !== undefined && open === null && (
        <p role="status" class="missing">
          This report has no rollout {address.r}; its rows go from 0 to {store.count - 1}.
        </p>
      )}
    </div>
    </div>
  );
}

/** What a click on a value does, for the cell that has the focus. */
function filterByFocusedCell(event: KeyboardEvent): void {
  (event.target as HTMLElement | null)?.closest?.("[role=gridcell]")?.querySelector<HTMLElement>("button.value")?.click();
}

/** Rows with the searched text: null without a search. */
function useHits(store: RolloutStore, query: string): Uint8Array | null {
  const [hits, setHits] = useState<{ query: string; hit: Uint8Array } | null>(null);
  useEffect(() => {
    if (!query.trim()) return setHits(null);
    let current = true;
    store.search(query).then((hit) => current && setHits({ query, hit }));
    return () => {
      current = false;
    };
  }, [store, query]);
  return query.trim() ? (hits?.hit ?? null) : null;
}

/** Makes the texts of all rollouts, a block at a time so that the page stays responsive; counts what is there. */
function useTexts(store: RolloutStore): number {
  const [ready, setReady] = useState(0);
  useEffect(() => {
    let current = true;
    let shown = performance.now();
    void (async () => {
      for (let index = 0; current && index < store.blocks.length; index++) {
        await store.texts(index);
        await new Promise((resolve) => setTimeout(resolve));
        const last = index === store.blocks.length - 1;
        if (!current || (!last && performance.now() - shown < 200)) continue;
        shown = performance.now();
        setReady(index + 1);
      }
    })();
    return () => {
      current = false;
    };
  }, [store]);
  return ready;
}

/** They wait for the texts, which everybody sees. */
function useAdvantages(store: RolloutStore, start: boolean): Float32Array | null {
  const [advantages, setAdvantages] = useState<Float32Array | null>(null);
  useEffect(() => {
    if (!start) return;
    let current = true;
    store.advantages().then((values) => current && setAdvantages(values));
    return () => {
      current = false;
    };
  }, [store, start]);
  return advantages;
}

function usePeaks(store: RolloutStore, latent: number): Float32Array | null {
  const [peaks, setPeaks] = useState<{ latent: number; values: Float32Array } | null>(null);
  useEffect(() => {
    if (latent < 0) return;
    let current = true;
    store.peak(latent).then((values) => current && setPeaks({ latent, values }));
    return () => {
      current = false;
    };
  }, [store, latent]);
  return latent >= 0 && peaks?.latent === latent ? peaks.values : null;
}
