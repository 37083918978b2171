// Names and notes of latents and of sets of latents, and the one hook through which all views read and write them.
//
// In a notebook they live in the model (`notes`), which Python saves. In the static file they live in localStorage under
// the report's title, as changes over the notes that the report came with; where the browser refuses localStorage they
// last until the page closes, and `problem` says so.

import { useLayoutEffect, useReducer } from "preact/hooks";
import type { Report } from "./data";

export interface Note {
  name: string;
  note: string;
}

export interface LatentSet extends Note {
  latents: number[];
}

/** The JSON on disk: {"7": {name, note}, "sets": [{name, note, latents}]}. */
export type NotesJson = Record<string, unknown>;

const LONGEST_NAME = 200;
const LONGEST_NOTE = 20_000;
const KEY = "interp notes: ";

/** Names by the latent's number in the dictionary, and named sets. Never changed in place. */
export class Notes {
  constructor(
    readonly latents: ReadonlyMap<number, Note> = new Map(),
    readonly sets: readonly LatentSet[] = [],
    /** A sentence, if changes cannot be kept. */
    readonly problem: string = "",
  ) {}

  of(latent: number): Note | null {
    return this.latents.get(latent) ?? null;
  }

  /** The name of a latent, or "". */
  nameOf(latent: number): string {
    return this.of(latent)?.name ?? "";
  }

  setsOf(latent: number): LatentSet[] {
    return this.sets.filter((set) => set.latents.includes(latent));
  }

  /** Latents with their notes, by number. */
  entries(): [number, Note][] {
    return [...this.latents].sort((a, b) => a[0] - b[0]);
  }

  with(latent: number, note: Note | null): Notes {
    const latents = new Map(this.latents);
    if (note && !isEmpty(note)) latents.set(latent, clipped(note));
    else latents.delete(latent);
    return new Notes(latents, this.sets, this.problem);
  }

  withSets(sets: readonly LatentSet[]): Notes {
    return new Notes(this.latents, sets, this.problem);
  }

  /** These notes, with those of another on top; its sets replace sets of the same name. */
  merged(other: Notes): Notes {
    const names = new Set(other.sets.map((set) => set.name));
    return new Notes(
      new Map([...this.latents, ...other.latents]),
      [...this.sets.filter((set) => !names.has(set.name)), ...other.sets],
      this.problem,
    );
  }

  toJson(): NotesJson {
    const json: NotesJson = {};
    for (const [latent, note] of this.entries()) json[String(latent)] = { name: note.name, note: note.note };
    json.sets = this.sets.map(({ name, note, latents }) => ({ name, note, latents: [...latents] }));
    return json;
  }
}

/** Notes from any JSON, and how many of its entries were not notes. Nothing in it is trusted. */
export function readNotes(json: unknown): { notes: Notes; skipped: number } {
  const latents = new Map<number, Note>();
  const sets: LatentSet[] = [];
  let skipped = 0;
  if (json === null || typeof json !== "object" || Array.isArray(json)) return { notes: new Notes(), skipped: json ? 1 : 0 };
  for (const [key, value] of Object.entries(json)) {
    if (key === "sets") {
      for (const each of Array.isArray(value) ? value : []) {
        const set = readSet(each);
        if (set) sets.push(set);
        else skipped++;
      }
      continue;
    }
    const note = readNote(value);
    if (/^\d{1,10}$/.test(key) && note && !isEmpty(note)) latents.set(Number(key), note);
    else skipped++;
  }
  return { notes: new Notes(latents, sets), skipped };
}

function readNote(value: unknown): Note | null {
  if (value === null || typeof value !== "object") return null;
  const { name, note } = value as Record<string, unknown>;
  if (name !== undefined && typeof name !== "string") return null;
  if (note !== undefined && note !== null && typeof note !== "string") return null;
  return { name: (name ?? "").slice(0, LONGEST_NAME), note: (note ?? "").slice(0, LONGEST_NOTE) };
}

function readSet(value: unknown): LatentSet | null {
  const note = readNote(value);
  const latents = (value as Record<string, unknown> | null)?.latents;
  if (!note || !note.name || !Array.isArray(latents)) return null;
  return { ...note, latents: [...new Set(latents.filter(isLatent))].sort((a, b) => a - b) };
}

const isLatent = (value: unknown): value is number => Number.isInteger(value) && (value as number) >= 0;

const isEmpty = (note: Note | null): boolean => !note || (!note.name.trim() && !note.note.trim());

// --- where notes are kept ------------------------------------------------------------------------------------------

interface Keeper {
  notes: Notes;
  listeners: Set<() => void>;
  keep(notes: Notes): void;
}

const keepers = new WeakMap<Report, Keeper>();

function keeperOf(report: Report): Keeper {
  let keeper = keepers.get(report);
  if (!keeper) keepers.set(report, (keeper = report.isStatic ? storageKeeper(report) : modelKeeper(report)));
  return keeper;
}

function modelKeeper(report: Report): Keeper {
  const read = () => readNotes(report.model.get("notes") ?? report.index.notes).notes;
  const keeper: Keeper = {
    notes: read(),
    listeners: new Set(),
    keep(notes) {
      change(keeper, notes);
      report.model.set("notes", notes.toJson());
      report.model.save_changes();
    },
  };
  report.model.on("change:notes", () => change(keeper, read()));
  return keeper;
}

function storageKeeper(report: Report): Keeper {
  const shipped = readNotes(report.index.notes).notes;
  const key = KEY + report.index.title;
  const keeper: Keeper = {
    notes: shipped,
    listeners: new Set(),
    keep(notes) {
      let problem = "";
      try {
        localStorage.setItem(key, JSON.stringify(changesOver(shipped, notes)));
      } catch {
        problem = "This browser keeps nothing for this page: download the notes before you close it.";
      }
      change(keeper, new Notes(notes.latents, notes.sets, problem));
    },
  };
  try {
    const text = localStorage.getItem(key);
    if (text) keeper.notes = applyChanges(shipped, JSON.parse(text));
  } catch {
    // nothing is stored, or storage is refused: `keep` will say so
  }
  return keeper;
}

function change(keeper: Keeper, notes: Notes): void {
  keeper.notes = notes;
  for (const listener of [...keeper.listeners]) listener();
}

/** What differs from the notes the report came with. A note that was deleted stays as an empty one. */
function changesOver(shipped: Notes, notes: Notes): NotesJson {
  const changes: NotesJson = {};
  for (const [latent, note] of notes.latents) {
    const before = shipped.of(latent);
    if (before?.name !== note.name || before?.note !== note.note) changes[String(latent)] = note;
  }
  for (const latent of shipped.latents.keys()) if (!notes.of(latent)) changes[String(latent)] = { name: "", note: "" };
  const sets = notes.toJson().sets;
  if (JSON.stringify(sets) !== JSON.stringify(shipped.toJson().sets)) changes.sets = sets;
  return changes;
}

function applyChanges(shipped: Notes, changes: unknown): Notes {
  const { notes } = readNotes(changes);
  let merged = new Notes(new Map([...shipped.latents, ...notes.latents]), shipped.sets);
  if (changes === null || typeof changes !== "object") return merged;
  for (const [key, value] of Object.entries(changes)) {
    if (/^\d{1,10}$/.test(key) && isEmpty(readNote(value))) merged = merged.with(Number(key), null);
  }
  return "sets" in changes ? merged.withSets(notes.sets) : merged;
}

// --- the hook ------------------------------------------------------------------------------------------------------

export type SetNote = (latent: number, note: Note | null) => void;

export interface NoteActions {
  /** Name or comment a latent. null or an empty note deletes. */
  setNote: SetNote;
  setSets(sets: readonly LatentSet[]): void;
  setAll(notes: Notes): void;
}

/** `const [notes, setNote, actions] = useNotes(report)`. Every view that calls it is drawn again when notes change. */
export function useNotes(report: Report): [Notes, SetNote, NoteActions] {
  const keeper = keeperOf(report);
  const [, redraw] = useReducer((count: number, _: void) => count + 1, 0);
  useLayoutEffect(() => {
    const listener = () => redraw();
    keeper.listeners.add(listener);
    return () => void keeper.listeners.delete(listener);
  }, [keeper]);
  const setNote: SetNote = (latent, note) => keeper.keep(keeper.notes.with(latent, note));
  const actions: NoteActions = {
    setNote,
    setSets: (sets) => keeper.keep(keeper.notes.withSets(sets)),
    setAll: (notes) => keeper.keep(notes),
  };
  return [keeper.notes, setNote, actions];
}

function clipped(note: Note): Note {
  return { name: note.name.trim().slice(0, LONGEST_NAME), note: note.note.trim().slice(0, LONGEST_NOTE) };
}
