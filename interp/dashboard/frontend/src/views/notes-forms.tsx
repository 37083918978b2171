// The two forms: for the note on a latent, and for a set of latents. They are no <form>: nothing on this page can be sent.
import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import type { LatentSet, Note, Notes } from "../notes";

interface FieldsProps {
  label: string;
  onSubmit: () => void;
  children: ComponentChildren;
}

/** Fields of which Enter, in a line of text, does what the button does. */
function Fields({ label, onSubmit, children }: FieldsProps) {
  return (
    <div
      class="fields"
      role="form"
      aria-label={label}
      onKeyDown={(event) => {
        if (event.key !== "Enter" || !(event.target instanceof HTMLInputElement)) return;
        event.preventDefault();
        onSubmit();
      }}
    >
      {children}
    </div>
  );
}

interface NoteFormProps {
  notes: Notes;
  /** The latent whose note is edited; null for a new one. */
  latent: number | null;
  /** The latents that the report shows. */
  known: ArrayLike<number> | undefined;
  onSave: (latent: number, note: Note) => void;
  onCancel: () => void;
}

export function NoteForm({ notes, latent, known, onSave, onCancel }: NoteFormProps) {
  const before = latent === null ? null : notes.of(latent);
  const [number, setNumber] = useState(latent === null ? "" : String(latent));
  const [name, setName] = useState(before?.name ?? "");
  const [note, setNote] = useState(before?.note ?? "");
  const [tried, setTried] = useState(false);
  const chosen = /^\d{1,9}$/.test(number.trim()) ? Number(number.trim()) : null;
  const shown = chosen === null || !known || Array.prototype.includes.call(known, chosen);
  const warning = !shown
    ? `Latent ${chosen} is not shown in this report; its note is kept all the same.`
    : chosen !== null && latent === null && notes.of(chosen)
      ? `Latent ${chosen} has a note: saving replaces it.`
      : "";
  const missing = chosen === null ? "A latent is a number." : !name.trim() && !note.trim() ? "Write a name or a note." : "";
  const submit = () => {
    setTried(true);
    if (missing || chosen === null) return;
    onSave(chosen, { name, note });
    if (latent !== null) return;
    setTried(false);
    setNumber("");
    setName("");
    setNote("");
  };
  return (
    <Fields label={latent === null ? "Name a latent" : `Edit the note on latent ${latent}`} onSubmit={submit}>
      <label class="choice">
        <span>latent</span>
        <input
          inputMode="numeric"
          title="The number of the latent in the dictionary"
          size={8}
          aria-required="true"
          aria-invalid={tried && chosen === null}
          readOnly={latent !== null}
          value={number}
          onInput={(event) => setNumber(event.currentTarget.value)}
        />
      </label>
      <label class="choice">
        <span>name</span>
        <input size={24} maxLength={200} value={name} onInput={(event) => setName(event.currentTarget.value)} />
      </label>
      <label class="choice wide">
        <span>note</span>
        <textarea rows={1} maxLength={20000} value={note} onInput={(event) => setNote(event.currentTarget.value)} />
      </label>
      <button type="button" onClick={submit}>
        {latent === null ? "Add" : "Save"}
      </button>
      {latent !== null && (
        <button type="button" onClick={onCancel}>
          Cancel
        </button>
      )}
      <span role="status" class="note">
        {tried && missing ? missing : warning}
      </span>
    </Fields>
  );
}

interface SetFormProps {
  set: LatentSet | null;
  onSave: (set: LatentSet) => void;
  onCancel: () => void;
}

export function SetForm({ set, onSave, onCancel }: SetFormProps) {
  const [name, setName] = useState(set?.name ?? "");
  const [note, setNote] = useState(set?.note ?? "");
  const [text, setText] = useState(set?.latents.join(", ") ?? "");
  const [tried, setTried] = useState(false);
  const latents = latentsIn(text);
  const missing = !name.trim() ? "A set has a name." : !latents?.length ? "Latents are numbers, apart by commas or spaces." : "";
  const submit = () => {
    setTried(true);
    if (missing || !latents) return;
    onSave({ name: name.trim(), note: note.trim(), latents });
    if (set) return;
    setTried(false);
    setName("");
    setNote("");
    setText("");
  };
  return (
    <Fields label={set ? "Edit a set of latents" : "Name a set of latents"} onSubmit={submit}>
      <label class="choice">
        <span>set</span>
        <input size={24} maxLength={200} aria-required="true" aria-invalid={tried && !name.trim()} value={name} onInput={(event) => setName(event.currentTarget.value)} />
      </label>
      <label class="choice">
        <span>latents</span>
        <input
          size={24}
          aria-required="true"
          placeholder="3, 7, 12"
          aria-invalid={latents === null}
          value={text}
          onInput={(event) => setText(event.currentTarget.value)}
        />
      </label>
      <label class="choice wide">
        <span>note</span>
        <textarea rows={1} maxLength={20000} value={note} onInput={(event) => setNote(event.currentTarget.value)} />
      </label>
      <button type="button" onClick={submit}>
        {set ? "Save" : "Add"}
      </button>
      {set && (
        <button type="button" onClick={onCancel}>
          Cancel
        </button>
      )}
      <span role="status" class="note">
        {tried ? missing : ""}
      </span>
    </Fields>
  );
}

/** The numbers in a text, each once; null if something else stands in it. */
function latentsIn(text: string): number[] | null {
  const parts = text.split(/[\s,;]+/).filter(Boolean);
  if (!parts.every((part) => /^\d{1,9}$/.test(part))) return null;
  return [...new Set(parts.map(Number))].sort((a, b) => a - b);
}
