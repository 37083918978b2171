// The columns of the list of rollouts, and its CSV.
import type { Patch } from "../address";
import { fieldOf, formatFilters, hasValue, withValue, type Filters } from "../rollouts/filters";
import { OUTCOME_WORDS, SHORT_SOURCE_WORDS, SOURCE_WORDS, type RolloutStore } from "../rollouts/store";
import { sortRows, type Column, type Sort } from "../table-model";
import { downloadCsv, num, signed } from "../text";
import { visible } from "../tokens";
import { OutcomeBadge, short } from "./rollouts-parts";

interface ListState {
  store: RolloutStore;
  advantages: Float32Array | null;
  peaks: Float32Array | null;
  /** The latent whose activation has a column, by its number. */
  latent: number | undefined;
  query: string;
  /** The reader is open beside the list. */
  narrow: boolean;
  sort: Sort | null;
  filters: Filters;
  go: (patch: Patch) => void;
}

type RowColumn = Column<number>;

const BESIDE_READER = new Set(["row", "outcome", "reward", "text"]);

export function listColumns(state: ListState): RowColumn[] {
  const { store, narrow, sort } = state;
  const columns = allColumns(state).filter((column) => isTelling(store, column.key) || column.key === sort?.key);
  return narrow ? columns.filter((column) => BESIDE_READER.has(column.key) || column.key === sort?.key || column.key === "peak") : columns;
}

/** A column in which all rollouts are alike says nothing. */
function isTelling(store: RolloutStore, key: string): boolean {
  const field = fieldOf(key);
  if (!field || key === "outcome" || key === "problem") return true;
  const first = field.value(store, 0);
  for (let row = 1; row < store.count; row++) if (field.value(store, row) !== first) return true;
  return false;
}

function allColumns(state: ListState): RowColumn[] {
  const { store, advantages, peaks, latent } = state;
  const { columns } = store;
  return [
    { key: "row", title: "#", value: (row) => row, width: "6ch", align: "right", help: "Row of the rollout in this report" },
    fieldColumn(state, "outcome", "outcome", "10ch", (row) => <OutcomeBadge outcome={store.outcome(row)} short />),
    fieldColumn(state, "bucket", "bucket", "minmax(6ch, 10ch)"),
    fieldColumn(state, "checkpoint", "checkpoint", "minmax(10ch, 18ch)"),
    fieldColumn(state, "problem", "problem", "minmax(8ch, 14ch)"),
    fieldColumn(state, "format", "format", "minmax(7ch, 12ch)"),
    fieldColumn(state, "source", "source", "10ch", (row) => SHORT_SOURCE_WORDS[columns.source[row]] ?? "unknown"),
    {
      key: "reward",
      title: "reward",
      value: (row) => columns.reward[row],
      cell: (row) => short(columns.reward[row]),
      width: "8ch",
      align: "right",
    },
    {
      key: "advantage",
      title: "advantage",
      value: (row) => advantages?.[row] ?? null,
      cell: (row) => signed(advantages?.[row], 2),
      width: "10ch",
      align: "right",
      help: "Mean over the tokens of the rollout",
    },
    { key: "length", title: "tokens", value: (row) => columns.length[row], width: "7ch", align: "right" },
    ...(latent === undefined
      ? []
      : [
          {
            key: "peak",
            title: `max of ${latent}`,
            value: (row: number) => peaks?.[row] ?? null,
            cell: (row: number) => num(peaks?.[row], 2),
            width: "11ch",
            align: "right" as const,
            help: `Largest activation of latent ${latent} in the rollout; 0 where it is never among the strongest of a token`,
          },
        ]),
    {
      key: "text",
      title: "completion",
      value: (row) => store.completionNow(row) ?? "",
      cell: (row) => <Excerpt store={store} row={row} query={state.query} />,
      width: "minmax(24ch, 3fr)",
      sortable: false,
      class: "excerpt",
    },
  ];
}

/** A column whose values can be clicked: then only rollouts with that value are listed. */
function fieldColumn(
  state: ListState,
  key: string,
  title: string,
  width: string,
  draw?: (row: number) => preact.ComponentChildren,
): RowColumn {
  const field = fieldOf(key)!;
  const { store, filters, go } = state;
  const word = (row: number) => field.word(store, field.value(store, row));
  return {
    key,
    title,
    width,
    value: word,
    cell: (row) => {
      const value = field.value(store, row);
      const on = hasValue(filters, key, value);
      return (
        <button
          type="button"
          class="value"
          tabIndex={-1}
          title={on ? `${word(row)}: click to list others too` : `${word(row)}: click to list only these`}
          onClick={() => go({ w: formatFilters(withValue(filters, key, value, !on)) })}
        >
          {draw ? draw(row) : visibleSpaces(word(row))}
        </button>
      );
    },
  };
}

const EXCERPT = 240;

function Excerpt({ store, row, query }: { store: RolloutStore; row: number; query: string }) {
  const text = store.completionNow(row);
  if (text === undefined) return <span class="muted">…</span>;
  const wanted = query.trim().toLowerCase();
  if (!wanted) return <>{visibleSpaces(text.slice(0, EXCERPT))}</>;
  let source = text;
  let at = source.toLowerCase().indexOf(wanted);
  const inPrompt = at < 0;
  if (inPrompt) {
    source = store.problem(row).prompt;
    at = source.toLowerCase().indexOf(wanted);
  }
  if (at < 0) return <>{visibleSpaces(text.slice(0, EXCERPT))}</>;
  const from = Math.max(0, at - 24);
  return (
    <>
      {inPrompt && <span class="muted">prompt: </span>}
      {from > 0 && "…"}
      {visibleSpaces(source.slice(from, at))}
      <mark>{visibleSpaces(source.slice(at, at + wanted.length))}</mark>
      {visibleSpaces(source.slice(at + wanted.length, at + EXCERPT))}
    </>
  );
}

/** One line: spaces stay spaces, line ends and hidden characters become signs. */
const visibleSpaces = (text: string): string => (text ? visible(text).replace(/·/g, " ") : "");

export const sortedByColumn = (rows: readonly number[], columns: readonly RowColumn[], sort: Sort | null): readonly number[] =>
  sortRows(rows, columns, sort);

export async function saveRollouts(
  store: RolloutStore,
  rows: readonly number[],
  advantages: Float32Array | null,
  peaks: Float32Array | null,
  latent: number | undefined,
): Promise<void> {
  const { columns } = store;
  const head = [
    "row", "run", "checkpoint", "step", "source", "bucket", "problem", "sample", "outcome", "correct", "valid", "lucky", "format",
    "truncated", "reward", "gate", "advantage", "tokens", "first_error", "answer", "label", "prompt", "completion",
    ...(latent === undefined ? [] : [`max_activation_of_${latent}`]),
  ];
  const known = (value: number) => (value === 2 ? "" : value);
  const lines = [];
  for (const row of rows) {
    const checkpoint = columns.checkpoint[row];
    const problem = store.problem(row);
    lines.push([
      row, store.runName(checkpoint), store.checkpointLabel(checkpoint), store.report.index.checkpoints[checkpoint]?.step ?? "",
      SOURCE_WORDS[columns.source[row]], store.bucketName(row), problem.id, columns.sample[row], OUTCOME_WORDS[store.outcome(row)],
      columns.correct[row], known(columns.valid[row]), known(columns.lucky[row]), store.formatName(row), columns.truncated[row],
      columns.reward[row], columns.gate[row], advantages?.[row] ?? "", columns.length[row],
      columns.first_error[row] < 0 ? "" : columns.first_error[row], store.answers[row] ?? "", problem.label ?? "", problem.prompt,
      await store.completion(row), ...(latent === undefined ? [] : [peaks?.[row] ?? ""]),
    ]);
  }
  downloadCsv(`${store.report.index.title} rollouts`, head, lines);
}
