// The two dialogs of the page: help, and what the report left out.
import type { ComponentChildren } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";
import { useReport } from "./data";
import { focusedIn } from "./focus";
import { readable } from "./tokens";

interface DialogProps {
  title: string;
  onClose: () => void;
  children: ComponentChildren;
}

export function Dialog({ title, onClose, children }: DialogProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  useLayoutEffect(() => {
    const it = dialog.current!;
    const before = focusedIn(it);
    it.showModal();
    return () => {
      it.close();
      before?.focus?.();
    };
  }, []);
  return (
    <dialog
      ref={dialog}
      aria-label={title}
      onCancel={(event) => {
        event.preventDefault();
        onClose();
      }}
      onKeyDown={(event) => event.stopPropagation()}
      onClick={(event) => event.target === dialog.current && onClose()}
    >
      <div class="dialog">
        <h2>{title}</h2>
        {children}
        <button type="button" onClick={onClose}>
          Close
        </button>
      </div>
    </dialog>
  );
}

const KEYS: [string, string][] = [
  ["/", "search in this view"],
  ["j, k", "next and previous row of the list"],
  ["arrows", "move in a table or along the tokens; Enter opens"],
  ["1 to 9", "colour the tokens of a rollout by the first nine colourings"],
  ["?", "this help"],
  ["Escape", "leave a field, close a dialog"],
];

const WORDS: [string, string][] = [
  ["change", "a checkpoint less the base, in the same bucket"],
  ["interval", "95%; a band or a whisker in charts, [low, high] in text"],
  ["dot in a cell", "q ≤ 0.05 after Benjamini and Hochberg's correction over latents"],
  ["floor", "the base against the base sampled again: what changes where nothing was trained"],
  ["drift", "how much worse the dictionary fits a checkpoint than the base; hatched where it is not to be trusted"],
  ["on-policy, probe", "text that each checkpoint wrote itself; text of the base, the same for all checkpoints"],
  ["valid, lucky", "every step is right; correct but not valid"],
  ["gates of a role", "contrast, falsification, ablation: the three tests that a latent passes to earn a role"],
];

export function Help({ onClose }: { onClose: () => void }) {
  return (
    <Dialog title="Keys and words" onClose={onClose}>
      <dl class="pairs">
        {KEYS.map(([key, what]) => (
          <>
            <dt>
              <kbd>{key}</kbd>
            </dt>
            <dd>{what}</dd>
          </>
        ))}
      </dl>
      <dl class="pairs">
        {WORDS.map(([word, what]) => (
          <>
            <dt>{word}</dt>
            <dd>{what}</dd>
          </>
        ))}
      </dl>
      <p class="note">
        The address of this page holds what is shown: copy it to link to a latent, a rollout, a token or a colouring.
      </p>
    </Dialog>
  );
}

export function LeftOut({ onClose }: { onClose: () => void }) {
  const { index } = useReport();
  return (
    <Dialog title="What was left out" onClose={onClose}>
      <LeftOutList sentences={index.left_out} />
    </Dialog>
  );
}

export function LeftOutList({ sentences }: { sentences: readonly string[] }) {
  return (
    <ul class="left-out">
      {sentences.map((sentence, i) => (
        <li key={i}>{readable(sentence)}</li>
      ))}
    </ul>
  );
}
