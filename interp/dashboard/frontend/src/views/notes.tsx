// Names and notes: of latents, and of sets of latents; edited, searched, saved to files and read from them.
import { useMemo, useRef, useState } from "preact/hooks";
import { useAddress } from "../address";
import { useChunks, type Report } from "../data";
import { readNotes, useNotes, type LatentSet, type Notes } from "../notes";
import { LatentLink, Search } from "../parts";
import { count, download, downloadCsv, fileName, matches, plural } from "../text";
import { readable } from "../tokens";
import { NoteForm, SetForm } from "./notes-forms";

export function NotesView({ report }: { report: Report }) {
  const [address, go] = useAddress();
  const [notes, , actions] = useNotes(report);
  const [status, setStatus] = useState<{ text: string; undo?: Notes }>({ text: "" });
  const query = address.q ?? "";
  /** Any change, with a sentence and a way back. */
  const change = (next: Notes, text: string) => {
    actions.setAll(next);
    setStatus({ text, undo: notes });
  };
  const undo = status.undo;
  return (
    <div class="notes">
      <div class="toolbar">
        <Search label="Search numbers, names, notes" value={query} onInput={(q) => go({ q })} />
        <Files report={report} notes={notes} onImport={change} onProblem={(text) => setStatus({ text })} />
      </div>
      <p role="status" class={status.text || notes.problem ? "note-status" : "sr-only"}>
        {status.text}{" "}
        {undo && (
          <button
            type="button"
            class="quiet"
            onClick={() => {
              actions.setAll(undo);
              setStatus({ text: "Undone." });
            }}
          >
            Undo
          </button>
        )}
        {notes.problem && ` ${notes.problem}`}
      </p>
      <LatentNotes report={report} notes={notes} query={query} change={change} />
      <Sets notes={notes} query={query} change={change} />
      <p class="note">
        {report.isStatic
          ? "Names and notes stay in this browser. Save them as JSON to share them, or to build them into a report: interp dashboard RESULTS --notes FILE."
          : "Names and notes are saved by the notebook, beside the results."}
      </p>
    </div>
  );
}

type Change = (next: Notes, text: string) => void;

// --- latents -------------------------------------------------------------------------------------------------------

interface LatentNotesProps {
  report: Report;
  notes: Notes;
  query: string;
  change: Change;
}

function LatentNotes({ report, notes, query, change }: LatentNotesProps) {
  const [edited, setEdited] = useState<number | null>(null);
  const features = report.index.features;
  const arrays = useChunks({ latents: features?.latents, role: features?.role });
  const roleOf = useMemo(() => {
    const roles = new Map<number, string>();
    arrays?.latents?.forEach((latent, at) => arrays.role?.[at] && roles.set(latent, features?.roles[arrays.role[at]] ?? ""));
    return roles;
  }, [arrays?.latents, arrays?.role]);
  const shown = notes.entries().filter(([latent, note]) => matches(`${latent} ${note.name} ${note.note}`.toLowerCase(), query));
  return (
    <section aria-labelledby="noted-latents">
      <h2 id="noted-latents">
        Latents <span class="muted">{counted(shown.length, notes.latents.size)}</span>
      </h2>
      <NoteForm
        key={edited ?? "new"}
        notes={notes}
        latent={edited}
        known={arrays?.latents}
        onSave={(latent, note) => {
          change(notes.with(latent, note), `Saved the note on latent ${latent}.`);
          setEdited(null);
        }}
        onCancel={() => setEdited(null)}
      />
      {shown.length > 0 && (
        <div class="scroll-x" tabIndex={0} role="region" aria-label="Notes on latents">
          <table class="plain noted">
            <thead>
              <tr>
                <th scope="col" class="right">
                  latent
                </th>
                <th scope="col">name</th>
                <th scope="col">note</th>
                <th scope="col">role</th>
                <th scope="col">sets</th>
                <th scope="col">
                  <span class="sr-only">Change</span>
                </th>
              </tr>
            </thead>
            <tbody>
              {shown.map(([latent, note]) => (
                <tr key={latent} class={latent === edited ? "current" : ""}>
                  <td class="right">
                    <LatentLink latent={latent} />
                  </td>
                  <td class="wrap">{readable(note.name)}</td>
                  <td class="wrap pre">{readable(note.note)}</td>
                  <td>{readable(roleOf.get(latent) ?? "")}</td>
                  <td class="wrap">{notes.setsOf(latent).map((set) => readable(set.name)).join(", ")}</td>
                  <td class="nowrap">
                    <button type="button" class="quiet" aria-label={`Edit the note on latent ${latent}`} onClick={() => setEdited(latent)}>
                      Edit
                    </button>
                    <button
                      type="button"
                      class="quiet"
                      aria-label={`Delete the note on latent ${latent}`}
                      onClick={() => change(notes.with(latent, null), `Deleted the note on latent ${latent}.`)}
                    >
                      Delete
                    </button>
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </section>
  );
}

const counted = (shown: number, all: number): string => (all === 0 ? "none is named yet" : shown === all ? count(all) : `${count(shown)} of ${count(all)}`);

// --- sets ----------------------------------------------------------------------------------------------------------

function Sets({ notes, query, change }: { notes: Notes; query: string; change: Change }) {
  const [edited, setEdited] = useState<string | null>(null);
  const shown = notes.sets.filter((set) => matches(`${set.name} ${set.note} ${set.latents.join(" ")}`.toLowerCase(), query));
  const without = (name: string) => notes.sets.filter((set) => set.name !== name);
  const save = (set: LatentSet) => {
    const place = notes.sets.findIndex((each) => each.name === (edited ?? set.name));
    const others = without(set.name).filter((each) => each.name !== edited);
    const sets = place < 0 ? [...others, set] : [...others.slice(0, place), set, ...others.slice(place)];
    change(notes.withSets(sets), `Saved the set “${readable(set.name)}”.`);
    setEdited(null);
  };
  return (
    <section aria-labelledby="noted-sets">
      <h2 id="noted-sets">
        Sets <span class="muted">{counted(shown.length, notes.sets.length)}</span>
      </h2>
      <SetForm
        key={edited ?? "\n"}
        set={notes.sets.find((set) => set.name === edited) ?? null}
        onSave={save}
        onCancel={() => setEdited(null)}
      />
      <ul class="sets">
        {shown.map((set, at) => (
          <li key={at} class={set.name === edited ? "current" : ""}>
            <div class="set-head">
              <h3>{readable(set.name)}</h3>
              <span class="muted">{plural(set.latents.length, "latent")}</span>
              <button type="button" class="quiet" aria-label={`Edit the set ${readable(set.name)}`} onClick={() => setEdited(set.name)}>
                Edit
              </button>
              <button
                type="button"
                class="quiet"
                aria-label={`Delete the set ${readable(set.name)}`}
                onClick={() => change(notes.withSets(without(set.name)), `Deleted the set “${readable(set.name)}”.`)}
              >
                Delete
              </button>
            </div>
            {set.note && <p class="pre">{readable(set.note)}</p>}
            <p class="set-latents">
              {set.latents.map((latent) => (
                <span key={latent}>
                  <LatentLink latent={latent} name={notes.nameOf(latent)} />{" "}
                </span>
              ))}
            </p>
          </li>
        ))}
      </ul>
    </section>
  );
}

// --- files ---------------------------------------------------------------------------------------------------------

interface FilesProps {
  report: Report;
  notes: Notes;
  onImport: Change;
  onProblem: (text: string) => void;
}

const LARGEST_FILE = 20_000_000;

function Files({ report, notes, onImport, onProblem }: FilesProps) {
  const picker = useRef<HTMLInputElement>(null);
  const title = `${report.index.title} notes`;
  const saveJson = () => download(fileName(title, "json"), `${JSON.stringify(notes.toJson(), null, 1)}\n`, "application/json");
  const saveCsv = () => {
    const latents = notes.entries().map(([latent, note]) => [latent, note.name, note.note, notes.setsOf(latent).map((s) => s.name).join("; ")]);
    const sets = notes.sets.map((set) => [`set of ${set.latents.length}`, set.name, set.note, set.latents.join(" ")]);
    downloadCsv(title, ["latent", "name", "note", "sets, or latents of the set"], [...latents, ...sets]);
  };
  const read = async (file: File) => {
    if (file.size > LARGEST_FILE) return onProblem(`${file.name} is larger than 20 MB: expected a JSON of names and notes.`);
    let json: unknown;
    try {
      json = JSON.parse(await file.text());
    } catch {
      return onProblem(`${file.name} is not JSON. Expected a file saved here by “Save JSON”, or notes.json from Python.`);
    }
    const { notes: added, skipped } = readNotes(json);
    const words = `Read ${plural(added.latents.size, "note")} and ${plural(added.sets.length, "set")} from ${file.name}.`;
    if (!added.latents.size && !added.sets.length) return onProblem(`${file.name} holds no notes.`);
    onImport(notes.merged(added), skipped ? `${words} ${plural(skipped, "entry", "entries")} of another form left out.` : words);
  };
  return (
    <span class="files">
      <button type="button" onClick={saveJson}>
        Save JSON
      </button>
      <button type="button" onClick={saveCsv}>
        Save CSV
      </button>
      <button type="button" onClick={() => picker.current?.click()}>
        Read JSON …
      </button>
      <input
        ref={picker}
        type="file"
        accept=".json,application/json"
        hidden
        aria-label="A JSON file of names and notes"
        onChange={(event) => {
          const file = event.currentTarget.files?.[0];
          event.currentTarget.value = "";
          if (file) void read(file);
        }}
      />
    </span>
  );
}
