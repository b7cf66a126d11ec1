// Labels that people give to episodes with one key, and what they write beside them.

import { signal } from "@preact/signals";
import { putLabel } from "./api";
import type { Key } from "./keys";
import { asApiError } from "./load";
import { file } from "./shared";
import { told } from "./state";

export interface Label {
  label: string | null;
  text: string;
}

/** The labels that have a key. */
export const LABELS = [
  { keys: "+ =", label: "good" },
  { keys: "-", label: "bad" },
  { keys: "u", label: "unsure" },
] as const;

/** Of an episode that is noted, but has no label. */
const NOTED = "noted";

/** What was given since the page was opened: lists that came before do not know it. */
const given = signal<Readonly<Record<string, Label>>>({});

/** The label of an episode; `known` is what an answer said of it. */
export function labelOf(run: string, episode: string, known: string | null): string | null {
  const found = given.value[keyOf(run, episode)];
  return found ? found.label : known;
}

/** What is written beside the label. */
export function noteOf(run: string, episode: string, known: string): string {
  return given.value[keyOf(run, episode)]?.text ?? known;
}

/** Labels an episode; an empty label takes the last one away. */
export async function give(run: string, episode: string, label: string, text = ""): Promise<void> {
  try {
    const found = await putLabel(run, { episode, label: label || (text && NOTED), text });
    given.value = { ...given.value, [keyOf(run, episode)]: found };
    told.value = found.label ? `labelled ${found.label}` : "the label was taken away";
  } catch (error) {
    const { message, hint } = asApiError(error);
    told.value = [message, hint].filter(Boolean).join(": ");
  }
}

/** The keys that label; `put` gets the label, empty to take it away. */
export function labelKeys(put: (label: string) => void): Key[] {
  if (file) return [];
  return [
    ...LABELS.map(({ keys, label }) => ({
      keys,
      what: `label it ${label}`,
      act: () => put(label),
    })),
    { keys: "0 Backspace", what: "take its label away", act: () => put("") },
  ];
}

function keyOf(run: string, episode: string): string {
  return `${run}\n${episode}`;
}
