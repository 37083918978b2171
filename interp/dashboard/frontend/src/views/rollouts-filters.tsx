// The search box, the filters and the chips of those that are on.
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { useAddress } from "../address";
import type { Report } from "../data";
import { useNotes } from "../notes";
import { FIELDS, fieldOf, formatFilters, hasValue, valuesOf, withValue, type Filters } from "../rollouts/filters";
import type { RolloutStore } from "../rollouts/store";
import { count } from "../text";
import { useLatentNumbers } from "./rollouts-parts";
import { readable } from "../tokens";

interface FilterBarProps {
  report: Report;
  store: RolloutStore;
  filters: Filters;
  latentUnknown: boolean;
}

export function FilterBar({ report, store, filters, latentUnknown }: FilterBarProps) {
  const [, go] = useAddress();
  const set = (next: Filters) => go({ w: formatFilters(next) ?? null });
  const fields = useMemo(
    () => FIELDS.filter((field) => field.key !== "problem").map((field) => ({ field, values: valuesOf(store, field) })),
    [store],
  );
  return (
    <div class="filterbar" role="search" aria-label="Search and filter rollouts">
      <SearchBox />
      {fields.map(
        ({ field, values }) =>
          values.length > 1 && (
            <select
              key={field.key}
              aria-label={`Filter by ${field.label}`}
              value=""
              onChange={(event) => {
                const value = event.currentTarget.value;
                event.currentTarget.value = "";
                if (value) set(withValue(filters, field.key, value, !hasValue(filters, field.key, value)));
              }}
            >
              <option value="">{field.label}</option>
              {values.map(({ value, word, count: number }) => (
                <option key={value} value={value}>
                  {hasValue(filters, field.key, value) ? "✓ " : ""}
                  {readable(word)} ({count(number)})
                </option>
              ))}
            </select>
          ),
      )}
      {report.index.features && <LatentBox report={report} unknown={latentUnknown} />}
      <Chips store={store} filters={filters} set={set} />
    </div>
  );
}

function SearchBox() {
  const [address, go] = useAddress();
  const [text, setText] = useState(address.q ?? "");
  const timer = useRef(0);
  useEffect(() => setText(address.q ?? ""), [address.q]);
  useEffect(() => () => clearTimeout(timer.current), []);
  return (
    <input
      type="search"
      data-search
      spellcheck={false}
      placeholder="Search prompts and completions"
      aria-label="Search prompts and completions"
      aria-keyshortcuts="/"
      value={text}
      onInput={(event) => {
        const next = event.currentTarget.value;
        setText(next);
        clearTimeout(timer.current);
        timer.current = setTimeout(() => go({ q: next }), 120) as unknown as number;
      }}
      onKeyDown={(event) => {
        if (event.key !== "Escape") return;
        event.stopPropagation();
        if (text) go({ q: null });
        event.currentTarget.blur();
      }}
    />
  );
}

/** Which latent's activation has a column: by its number, with the named ones proposed. */
function LatentBox({ report, unknown }: { report: Report; unknown: boolean }) {
  const [address, go] = useAddress();
  const [notes] = useNotes(report);
  const numbers = useLatentNumbers(report);
  return (
    <label class="latent-box">
      activation of latent
      <input
        type="text"
        inputMode="numeric"
        list="named-latents"
        size={7}
        placeholder="number"
        value={address.l ?? ""}
        aria-invalid={unknown}
        title={unknown ? `Latent ${address.l} is not shown in this report.` : "Adds a column to sort by"}
        onChange={(event) => {
          const text = event.currentTarget.value.trim();
          go({ l: /^\d{1,9}$/.test(text) ? Number(text) : null });
        }}
      />
      {unknown && numbers && <span role="status">not in this report</span>}
      <datalist id="named-latents">
        {notes.entries().map(([latent, note]) => (
          <option key={latent} value={latent}>
            {readable(note.name)}
          </option>
        ))}
      </datalist>
    </label>
  );
}

function Chips({ store, filters, set }: { store: RolloutStore; filters: Filters; set: (filters: Filters) => void }) {
  const active = [...filters].flatMap(([key, values]) => [...values].map((value) => [key, value] as const));
  if (!active.length) return null;
  return (
    <ul class="chips" aria-label="Filters that are on">
      {active.map(([key, value]) => {
        const field = fieldOf(key);
        const word = field?.word(store, value) ?? value;
        return (
          <li key={`${key}:${value}`}>
            <button
              type="button"
              aria-label={`Remove the filter ${field?.label}: ${word}`}
              onClick={() => set(withValue(filters, key, value, false))}
            >
              <span class="muted">{field?.label}</span> {word} <span aria-hidden="true">×</span>
            </button>
          </li>
        );
      })}
      <li>
        <button type="button" class="quiet" onClick={() => set(new Map())}>
          Remove all
        </button>
      </li>
    </ul>
  );
}
