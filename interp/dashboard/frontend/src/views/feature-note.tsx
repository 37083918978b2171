// The name and the note of a latent.
import { useEffect, useState } from "preact/hooks";
import { useNotes } from "../notes";
import { readable } from "../tokens";
import type { FeatureProps } from "./feature";

export function FeatureNote({ report, latent }: FeatureProps) {
  const [notes, setNote] = useNotes(report);
  const kept = notes.of(latent);
  const [name, setName] = useState(kept?.name ?? "");
  const [note, setText] = useState(kept?.note ?? "");
  useEffect(() => {
    setName(kept?.name ?? "");
    setText(kept?.note ?? "");
  }, [kept?.name, kept?.note, latent]);
  const changed = name.trim() !== (kept?.name ?? "") || note.trim() !== (kept?.note ?? "");
  const save = () => changed && setNote(latent, { name, note });
  const sets = notes.setsOf(latent);
  return (
    <div class="feature-note" onKeyDown={(event) => event.key === "Enter" && event.target instanceof HTMLInputElement && save()}>
      <label class="choice">
        <span>Name</span>
        <input value={name} maxLength={200} onInput={(event) => setName(event.currentTarget.value)} onBlur={save} />
      </label>
      <label class="choice">
        <span>Note</span>
        <textarea rows={3} value={note} onInput={(event) => setText(event.currentTarget.value)} onBlur={save} />
      </label>
      <p class="note" aria-live="polite">
        {notes.problem || (changed ? "Not saved yet: leave the field to save." : kept ? "Saved." : "")}
        {sets.length > 0 && ` In the sets: ${sets.map((set) => readable(set.name)).join(", ")}.`}
      </p>
    </div>
  );
}
