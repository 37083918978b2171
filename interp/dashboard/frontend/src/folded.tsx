// A text that may be very long: its beginning and its end, and a button for all of it.
import { useState } from "preact/hooks";
import { count } from "./text";
import { readable } from "./tokens";

interface FoldedProps {
  text: string;
  /** Characters shown before it is unfolded. */
  most?: number;
}

export function Folded({ text, most = 1200 }: FoldedProps) {
  const [open, setOpen] = useState(false);
  if (text.length <= most) return <pre class="prompt">{readable(text)}</pre>;
  const half = Math.floor(most / 2);
  return (
    <div class="folded">
      <pre class="prompt">{open ? readable(text) : `${readable(text.slice(0, half))} … ${readable(text.slice(-half))}`}</pre>
      <button type="button" class="quiet" aria-expanded={open} onClick={() => setOpen(!open)}>
        {open ? "Fold" : `Show all ${count(text.length)} characters`}
      </button>
    </div>
  );
}
