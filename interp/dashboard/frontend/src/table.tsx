// A table of any length: an ARIA grid of which only the rows in sight exist, with one focus that the arrow keys move.
import type { ComponentChildren } from "preact";
import { useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { useKeys } from "./keys";
import { HeadCell, Row } from "./table-cells";
import { sortRows, tableCsv, type Column, type Sort } from "./table-model";
import { useScrollWindow } from "./scroll";
import { download, fileName, plural } from "./text";

export type { Column, Sort } from "./table-model";

export interface TableProps<R> {
  rows: readonly R[];
  columns: readonly Column<R>[];
  rowKey: (row: R) => string | number;
  /** What the table shows, for screen readers and as the name of its CSV file. */
  label: string;
  sort?: Sort | null;
  /** Rows are sorted here, by `sort`; this reports a click on a header. */
  onSort?: (sort: Sort | null) => void;
  selected?: string | number | null;
  /** A click, Enter, or `j` and `k`; `opened` says that it was Enter or a click. */
  onSelect?: (row: R, opened: boolean) => void;
  /** Focus or pointer on a cell (null: it left). */
  onCell?: (row: R | null, column: Column<R> | null, element: HTMLElement | null) => void;
  /** Further rows of the head, above the names of the columns: a list of spans that covers all columns. */
  groups?: readonly HeadRow[];
  rowHeight?: number;
  /** CSS height of the window; the default leaves room for what stands above. */
  height?: string;
  /** Without a CSV button of its own. */
  noCsv?: boolean;
  empty?: ComponentChildren;
  class?: string;
  /** What stands beside the count of rows above the table. */
  tools?: ComponentChildren;
}

export interface HeadRow {
  label: string;
  cells: readonly { key: string; span: number; content?: ComponentChildren; title?: string; class?: string; style?: object }[];
}

const OVERSCAN = 4;

export function Table<R>(props: TableProps<R>) {
  const { rows, columns, rowKey, label, sort = null, onSort, selected = null, onSelect, onCell, groups = [] } = props;
  const height = props.rowHeight ?? 26;
  const sorted = useMemo(() => sortRows(rows, columns, sort), [rows, columns, sort?.key, sort?.descending]);
  const keys = useMemo(() => new Map(sorted.map((row, i) => [rowKey(row), i])), [sorted]);
  const frame = useRef<HTMLDivElement>(null);
  const view = useScrollWindow(frame);
  const [focus, setFocus] = useState<[number, number]>([0, 0]);
  const moved = useRef(false);
  const chosen = selected === null ? -1 : (keys.get(selected) ?? -1);
  const focusRow = Math.max(0, Math.min(sorted.length - 1, focus[0]));
  const headHeight = (groups.length + 1) * height;

  useLayoutEffect(() => {
    if (chosen >= 0) scrollToRow(frame.current!, chosen, height, headHeight);
  }, [chosen, sorted]);
  useLayoutEffect(() => {
    if (!moved.current) return;
    moved.current = false;
    scrollToRow(frame.current!, focus[0], height, headHeight);
    frame.current!.querySelector<HTMLElement>(focusSelector(focus))?.focus({ preventScroll: focus[0] >= 0 });
  }, [focus]);

  const select = (index: number, opened: boolean) => {
    if (!sorted.length) return;
    const bounded = Math.max(0, Math.min(sorted.length - 1, index));
    setFocus(([, column]) => [bounded, column]);
    onSelect?.(sorted[bounded], opened);
  };
  const step = (by: number) => select(chosen >= 0 ? chosen + by : by > 0 ? 0 : sorted.length - 1, false);
  useKeys(onSelect ? { j: () => step(1), k: () => step(-1), ...(chosen >= 0 ? { Enter: () => select(chosen, true) } : {}) } : {});

  const moveTo = (row: number, column: number) => {
    moved.current = true;
    setFocus([Math.max(-1, Math.min(sorted.length - 1, row)), Math.max(0, Math.min(columns.length - 1, column))]);
  };
  const page = Math.max(1, Math.floor((view.height - headHeight) / height) - 1);
  const onKeyDown = (event: KeyboardEvent) => {
    if ((event.target as HTMLElement).closest("input, textarea, select")) return;
    const [row, column] = focus;
    if (event.key === "ArrowDown") moveTo(row + 1, column);
    else if (event.key === "ArrowUp") moveTo(row - 1, column);
    else if (event.key === "ArrowRight") moveTo(row, column + 1);
    else if (event.key === "ArrowLeft") moveTo(row, column - 1);
    else if (event.key === "PageDown") moveTo(row + page, column);
    else if (event.key === "PageUp") moveTo(Math.max(0, row - page), column);
    else if (event.key === "Home") moveTo(event.ctrlKey ? 0 : row, 0);
    else if (event.key === "End") moveTo(event.ctrlKey ? sorted.length - 1 : row, columns.length - 1);
    else if (event.key === "Enter" && row >= 0 && !(event.target as HTMLElement).closest("a, button")) select(row, true);
    else return;
    event.preventDefault();
  };
  const cellOf = (event: Event): [R, Column<R>, HTMLElement, number] | null => {
    const cell = (event.target as HTMLElement).closest<HTMLElement>("[role=gridcell]");
    const line = cell?.closest<HTMLElement>("[data-row]");
    if (!cell || !line) return null;
    const row = Number(line.dataset.row);
    return row < sorted.length ? [sorted[row], columns[[...line.children].indexOf(cell)], cell, row] : null;
  };
  const report = (event: Event) => {
    const hit = cellOf(event);
    onCell?.(hit?.[0] ?? null, hit?.[1] ?? null, hit?.[2] ?? null);
  };

  const first = Math.max(0, Math.floor(view.top / height) - OVERSCAN);
  const last = Math.min(sorted.length, Math.ceil((view.top + view.height) / height) + OVERSCAN);
  const shown: number[] = [];
  if (focusRow < first && sorted.length) shown.push(focusRow);
  for (let i = first; i < last; i++) shown.push(i);
  if (focusRow >= last && sorted.length) shown.push(focusRow);
  const template = useMemo(() => columns.map((c) => c.width ?? "minmax(8ch, 1fr)").join(" "), [columns]);
  const nameFocus = focus[0] === -1 ? focus[1] : -1;

  return (
    <div class={`tablebox ${props.class ?? ""}`}>
      <div class="tools">
        <span class="muted" aria-live="polite">
          {plural(sorted.length, "row")}
        </span>
        {props.tools}
        {!props.noCsv && (
          <button type="button" class="quiet" onClick={() => download(fileName(label, "csv"), tableCsv(rows, columns, sort), "text/csv")}>
            Save CSV
          </button>
        )}
      </div>
      <div
        ref={frame}
        class="grid"
        role="grid"
        aria-label={label}
        aria-rowcount={sorted.length + 1}
        aria-colcount={columns.length}
        style={{ "--columns": template, maxHeight: props.height ?? "max(300px, calc(var(--view) - 250px))" }}
        onKeyDown={onKeyDown}
        onMouseOver={report}
        onMouseLeave={() => onCell?.(null, null, null)}
        onFocusIn={(event) => {
          const hit = cellOf(event);
          if (hit && !moved.current && (hit[3] !== focus[0] || hit[1] !== columns[focus[1]])) {
            setFocus([hit[3], columns.indexOf(hit[1])]);
          }
          report(event);
        }}
        onClick={(event) => {
          const hit = cellOf(event);
          if (hit && !(event.target as HTMLElement).closest("a, button, input")) select(hit[3], true);
        }}
      >
        <div class="sheet" role="presentation">
          <div role="rowgroup" class="head">
            {groups.map((group) => (
              <div role="presentation" class="row groups" key={group.label} style={{ height: `${height}px` }}>
                {group.cells.map((cell) => (
                  <div
                    key={cell.key}
                    role="presentation"
                    class={`cell ${cell.class ?? ""}`}
                    title={cell.title}
                    style={{ ...cell.style, gridColumn: `span ${cell.span}` }}
                  >
                    {cell.content}
                  </div>
                ))}
              </div>
            ))}
            <div role="row" aria-rowindex={1} class="row names" style={{ height: `${height}px` }}>
              {columns.map((column, i) => (
                <HeadCell
                  key={column.key}
                  column={column}
                  index={i}
                  sort={sort}
                  onSort={onSort}
                  focused={nameFocus === i}
                  onMove={moveTo}
                />
              ))}
            </div>
          </div>
          <div role="rowgroup" class="body" style={{ height: `${sorted.length * height}px` }}>
            {shown.map((i) => (
              <Row
                key={rowKey(sorted[i])}
                row={sorted[i]}
                index={i}
                columns={columns}
                selected={i === chosen}
                focusColumn={i === focusRow ? focus[1] : -1}
                top={i * height}
                height={height}
              />
            ))}
          </div>
        </div>
        {!sorted.length && <p class="empty muted">{props.empty ?? "No row fits."}</p>}
      </div>
    </div>
  );
}

const focusSelector = ([row, column]: [number, number]): string =>
  row < 0 ? `[data-head="${column}"] > *` : `[data-row="${row}"] > :nth-child(${column + 1})`;

function scrollToRow(frame: HTMLElement, row: number, height: number, headHeight: number): void {
  const top = row * height;
  if (top < frame.scrollTop) frame.scrollTop = Math.max(0, top);
  else if (top + height + headHeight > frame.scrollTop + frame.clientHeight) {
    frame.scrollTop = top + height + headHeight - frame.clientHeight;
  }
}
