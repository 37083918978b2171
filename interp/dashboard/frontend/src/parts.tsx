// Small parts that several views use.
import type { ComponentChildren } from "preact";
import { linkTo } from "./address";
import { readable } from "./tokens";

export const Loading = () => (
  <p class="muted" role="status">
    Loading…
  </p>
);

/** What stands where a part of the report is missing. */
export function Missing({ what, why }: { what: string; why?: string }) {
  return (
    <p class="missing">
      This report holds no {what}. {why ?? "“What was left out” on the overview says why."}
    </p>
  );
}

export function Badge({ kind, children }: { kind?: string; children: ComponentChildren }) {
  return <span class={`badge ${kind ?? ""}`}>{children}</span>;
}

/** The class of a badge for a verdict on a claim or on a latent. */
export function verdictKind(verdict: string): string {
  if (/^(supported|strengthened|passed)$/.test(verdict)) return "yes";
  if (/^(not supported|weakened|failed)$/.test(verdict)) return "no";
  return "open";
}

interface LatentLinkProps {
  latent: number;
  name?: string;
  /** In a cell of a grid, whose own focus opens the row by Enter. */
  inGrid?: boolean;
}

export function LatentLink({ latent, name, inGrid }: LatentLinkProps) {
  return (
    <a href={linkTo({ v: "feature", f: latent })} tabIndex={inGrid ? -1 : undefined}>
      {latent}
      {name ? <span class="name"> {readable(name)}</span> : null}
    </a>
  );
}

interface ChoiceProps {
  label: string;
  value: string;
  options: readonly (readonly [string, string])[];
  onChange: (value: string) => void;
}

export function Choice({ label, value, options, onChange }: ChoiceProps) {
  return (
    <label class="choice">
      <span>{label}</span>
      <select value={value} onChange={(event) => onChange(event.currentTarget.value)}>
        {options.map(([key, text]) => (
          <option key={key} value={key}>
            {readable(text)}
          </option>
        ))}
      </select>
    </label>
  );
}

interface SearchProps {
  label: string;
  value: string;
  onInput: (text: string) => void;
  placeholder?: string;
}

/** The search field of a view; `/` goes to it. */
export function Search({ label, value, onInput, placeholder }: SearchProps) {
  return (
    <label class="choice search">
      <span>{label}</span>
      <input
        type="search"
        data-search
        value={value}
        placeholder={placeholder}
        spellcheck={false}
        onInput={(event) => onInput(event.currentTarget.value)}
      />
    </label>
  );
}
