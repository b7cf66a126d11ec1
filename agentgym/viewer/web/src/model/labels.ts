// Labels that people give to episodes with one key, and what they write beside them.

import { signal } from "@preact/signals";
import { putLabel, showEpisode } from "./api";
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

let before: Promise<void> = Promise.resolve();

/**
 * Labels an episode, after what was given before; an empty label takes the last one away, and
 * without a text the one beside it stays.
 */
export function give(run: string, episode: string, label: string, text?: string): Promise<void> {
  return (before = before.then(() => put(run, episode, label, text)));
}

async function put(run: string, episode: string, label: string, known?: string): Promise<void> {
  try {
    const text = known ?? (await noteBeside(run, episode));
    const found = await putLabel(run, { episode, label: label || (text && NOTED), text });
    given.value = { ...given.value, [keyOf(run, episode)]: found };
    const beside = found.text ? ", with its note" : "";
    told.value = found.label ? `labelled ${found.label}${beside}` : "the label was taken away";
  } catch (error) {
    const { message, hint } = asApiError(error);
    told.value = [message, hint].filter(Boolean).join(": ");
  }
}

/** What is written beside the label of an episode that is not on screen. */
async function noteBeside(run: string, episode: string): Promise<string> {
  const found = given.value[keyOf(run, episode)];
  if (found) return found.text;
  const { label, notes } = await showEpisode(run, episode);
  return label === null ? "" : (notes.at(-1)?.text ?? "");
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
