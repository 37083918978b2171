// Tokens in one flowing text, each with a colour. Another colouring sets classes on the same elements: nothing is drawn anew.
// Of a long text the tokens on screen change first, and the others after the frame in which those are seen.
import { useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { memo } from "./memo";
import { focusedIn } from "./focus";
import { shadeClass, type Scale } from "./colors";
import { num } from "./text";
import { spoken, visible } from "./tokens";

export interface TokenLineProps {
  /** One text per token. */
  texts: readonly string[];
  /** One value per token, NaN where there is none; null: no colours. */
  values: ArrayLike<number> | null;
  scale: Scale;
  selected?: number | null;
  onSelect?: (token: number) => void;
  /** Further classes of a token, e.g. "bad", "start" (of a step), "dim"; undefined: none. */
  marks?: (token: number) => string | undefined;
  /** What the live region and the tooltip say of a token after its text and value, e.g. "step 2, wrong". */
  describe?: (token: number) => string;
  format?: (value: number) => string;
  /** What the list is, for screen readers. */
  label: string;
  /** The number of the first token, where the line is a part of a longer one. */
  offset?: number;
  /** What the values are, for screen readers: "entropy". */
  what?: string;
}

/** Tokens that change colour together. */
const AT_ONCE = 800;

interface SpansProps {
  texts: readonly string[];
  offset: number;
}

/** The elements of the tokens: drawn once per text. */
const Spans = memo(({ texts, offset }: SpansProps) => (
  <>
    {texts.map((text, i) => (
      <span
        key={i}
        role="option"
        aria-selected="false"
        tabIndex={-1}
        data-i={i}
        data-break={text.includes("\n") ? "" : undefined}
        aria-label={`${i + offset}: ${spoken(text)}`}
      >
        {visible(text)}
      </span>
    ))}
  </>
));

/** The first token that is on screen: tokens stand one below the other, so their tops rise. */
function firstOnScreen(line: HTMLElement): number {
  const top = Math.max(0, line.parentElement!.getBoundingClientRect().top);
  let [low, high] = [0, line.children.length - 1];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (line.children[middle].getBoundingClientRect().bottom < top) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Calls for all items in parts, each after a frame. Returns what stops it. */
function afterFrame(items: number, call: (from: number, to: number) => void): () => void {
  let timer = 0;
  let from = 0;
  const next = () => {
    call(from, from + AT_ONCE);
    from += AT_ONCE;
    if (from < items) wait();
  };
  const wait = () => {
    timer = requestAnimationFrame(() => {
      timer = -setTimeout(next);
    });
  };
  wait();
  return () => (timer < 0 ? clearTimeout(-timer) : cancelAnimationFrame(timer));
}

export function TokenLine(props: TokenLineProps) {
  const { texts, values, scale, selected = null, onSelect, marks, describe, format = num, label, offset = 0, what } = props;
  const list = useRef<HTMLDivElement>(null);
  const [focus, setFocus] = useState(0);
  const current = Math.min(selected ?? focus, Math.max(0, texts.length - 1));

  useLayoutEffect(() => {
    const spans = list.current!.children;
    const paint = (from: number, to: number) => {
      for (let i = from; i < Math.min(to, spans.length); i++) {
        const span = spans[i] as HTMLElement;
        const name = `token ${shadeClass(values?.[i], scale)} ${marks?.(i) ?? ""}`;
        if (span.className !== name) span.className = name;
      }
    };
    if (spans.length <= AT_ONCE) return paint(0, spans.length);
    const first = firstOnScreen(list.current!);
    paint(first, first + AT_ONCE);
    return afterFrame(spans.length, paint);
  }, [texts, values, scale, marks]);

  useLayoutEffect(() => {
    const span = list.current!.children[current] as HTMLElement | undefined;
    if (!span) return;
    span.tabIndex = 0;
    span.setAttribute("aria-selected", String(selected !== null));
    if (list.current!.contains(focusedIn(list.current!))) span.focus();
    return () => {
      span.tabIndex = -1;
      span.setAttribute("aria-selected", "false");
    };
  }, [texts, current, selected]);

  const say = (i: number): string => {
    if (i >= texts.length) return "";
    const value = values && Number.isFinite(values[i]) ? `${what ? `${what} ` : ""}${format(values[i])}` : "";
    return [`token ${i + offset}`, `“${visible(texts[i])}”`, value, describe?.(i)].filter(Boolean).join(", ");
  };
  const select = (i: number) => {
    const bounded = Math.max(0, Math.min(texts.length - 1, i));
    setFocus(bounded);
    onSelect?.(bounded);
  };
  const at = (event: Event): number => {
    const span = (event.target as HTMLElement).closest<HTMLElement>("[data-i]");
    return span ? Number(span.dataset.i) : -1;
  };
  const steps: Record<string, number> = {
    ArrowRight: 1,
    ArrowDown: 1,
    ArrowLeft: -1,
    ArrowUp: -1,
    Home: -Infinity,
    End: Infinity,
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const step = steps[event.key];
    if (step !== undefined) select(current + step);
    else if (event.key === "Enter" || event.key === " ") select(current);
    else return;
    event.preventDefault();
  };
  const spans = useMemo(() => <Spans texts={texts} offset={offset} />, [texts, offset]);
  return (
    <div class="tokenline">
      <div
        ref={list}
        role="listbox"
        aria-label={label}
        aria-orientation="horizontal"
        onClick={(event) => at(event) >= 0 && select(at(event))}
        onMouseOver={(event) => {
          const i = at(event);
          if (i >= 0) (event.target as HTMLElement).title = say(i);
        }}
        onKeyDown={onKeyDown}
      >
        {spans}
      </div>
      <div class="sr-only" aria-live="polite">
        {selected === null ? "" : say(current)}
      </div>
    </div>
  );
}
