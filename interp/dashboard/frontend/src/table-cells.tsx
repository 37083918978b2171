// The cells of a table: a row of them, and the names of the columns.
import type { VNode } from "preact";
import { memo } from "./memo";
import type { Column, Sort } from "./table-model";

interface RowProps<R> {
  row: R;
  index: number;
  columns: readonly Column<R>[];
  selected: boolean;
  focusColumn: number;
  top: number;
  height: number;
}

/** A row of cells, drawn again only when something of it changed. */
export const Row = memo(<R,>({ row, index, columns, selected, focusColumn, top, height }: RowProps<R>) => (
  <div
    role="row"
    aria-rowindex={index + 2}
    aria-selected={selected}
    class={`row ${index % 2 ? "odd" : ""}`}
    style={{ top: `${top}px`, height: `${height}px` }}
    data-row={index}
  >
    {columns.map((column, i) => {
      const extra = column.cellProps?.(row);
      return (
        <div
          key={column.key}
          role="gridcell"
          tabIndex={focusColumn === i ? 0 : undefined}
          {...extra}
          class={`cell ${column.align ?? "left"} ${column.class ?? ""} ${extra?.class ?? ""}`}
        >
          {column.cell ? column.cell(row) : (column.value(row) ?? "–")}
        </div>
      );
    })}
  </div>
)) as <R>(props: RowProps<R> & { key?: string | number }) => VNode;

interface HeadCellProps<R> {
  column: Column<R>;
  index: number;
  sort: Sort | null;
  onSort?: (sort: Sort | null) => void;
  focused: boolean;
  onMove: (row: number, column: number) => void;
}

/** The name of a column; a click sorts by it. */
export function HeadCell<R>({ column, index, sort, onSort, focused, onMove }: HeadCellProps<R>) {
  const active = sort?.key === column.key;
  const order = active ? (sort!.descending ? "descending" : "ascending") : "none";
  const sortable = onSort && column.sortable !== false;
  const next = () => {
    // Numbers are asked for largest first, texts from A; the third click gives the order of the report back.
    const firstDescending = column.align === "right";
    if (!active) onSort!({ key: column.key, descending: firstDescending });
    else onSort!(sort!.descending === firstDescending ? { key: column.key, descending: !firstDescending } : null);
    onMove(-1, index);
  };
  return (
    <div
      role="columnheader"
      aria-sort={sortable ? order : undefined}
      class={`cell ${column.align ?? "left"} ${column.class ?? ""} ${column.headClass ?? ""}`}
      title={column.help}
      data-head={index}
    >
      {sortable ? (
        <button type="button" tabIndex={focused ? 0 : -1} onClick={next} class={active ? "active" : ""}>
          {column.title || <span class="sr-only">{column.help ?? column.key}</span>}
          <span aria-hidden="true" class="arrow">
            {active ? (sort!.descending ? "↓" : "↑") : ""}
          </span>
        </button>
      ) : (
        <span tabIndex={focused ? 0 : -1}>{column.title}</span>
      )}
    </div>
  );
}
