// The label of an episode and the note beside it, to be given and taken away.

import "./labelling.css";
import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { give, labelOf, LABELS, noteOf } from "../model/labels";
import { file } from "../model/shared";
import type { Episode } from "../model/types";
import { Fact } from "../parts/parts";

export function Labelling({ run, episode }: { run: string; episode: Episode }): JSX.Element | null {
  const last = episode.label === null ? undefined : episode.notes.at(-1);
  const label = labelOf(run, episode.id, episode.label);
  const note = noteOf(run, episode.id, last?.text ?? "");
  if (file) return label || note ? <Given label={label} note={note} /> : null;
  const choose = (next: string) => void give(run, episode.id, next === label ? "" : next, note);
  const other = label && !LABELS.some((each) => each.label === label) ? label : null;
  return (
    <div class="labelling">
      <dt>label</dt>
      <dd>
        <span class="choice" role="group" aria-label="label">
          {LABELS.map((each) => (
            <button
              type="button"
              class={each.label}
              title={`key ${each.keys.split(" ")[0]}`}
              aria-pressed={each.label === label}
              onClick={() => choose(each.label)}
            >
              {each.label}
            </button>
          ))}
          {other && (
            <button type="button" aria-pressed="true" onClick={() => choose(other)}>
              {other}
            </button>
          )}
        </span>
        <Note note={note} write={(text) => void give(run, episode.id, label ?? "", text)} />
      </dd>
    </div>
  );
}

function Given({ label, note }: { label: string | null; note: string }): JSX.Element {
  return (
    <Fact name="label">
      {label} <span class="quiet">{note}</span>
    </Fact>
  );
}

/** Written when it is left, or by Enter. */
function Note({ note, write }: { note: string; write: (text: string) => void }): JSX.Element {
  const typed = useSignal<string | null>(null);
  const leave = () => {
    if (typed.value !== null && typed.value.trim() !== note) write(typed.value.trim());
    typed.value = null;
  };
  return (
    <input
      class="note"
      aria-label="note"
      placeholder="note (n)"
      maxLength={10_000}
      value={typed.value ?? note}
      onInput={(event) => (typed.value = event.currentTarget.value)}
      onKeyDown={(event) => event.key === "Enter" && event.currentTarget.blur()}
      onBlur={leave}
    />
  );
}
