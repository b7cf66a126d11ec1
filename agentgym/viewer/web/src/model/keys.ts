// Keys and what they do. A screen names its own; those of everywhere stand here.

import { effect, signal } from "@preact/signals";
import { copy, helping, told } from "./state";

export interface Key {
  /** As in KeyboardEvent.key, several separated by spaces; `Space` for the space bar. */
  keys: string;
  what: string;
  act: (key: string) => void;
}

/** The keys of the screen that is shown. */
export const screenKeys = signal<readonly Key[]>([]);

/** The keys of a part of it, which come first. */
export const panelKeys = signal<readonly Key[]>([]);

/** The keys of what is around all screens. */
export const shellKeys = signal<readonly Key[]>([]);

/** All keys that mean something now. */
export function keysNow(): readonly Key[] {
  return [...panelKeys.value, ...screenKeys.value, ...shellKeys.value, ...EVERYWHERE];
}

export const EVERYWHERE: readonly Key[] = [
  {
    keys: "c",
    what: "copy the link to what is shown",
    act: () => void copy(location.href, "link copied"),
  },
  { keys: "?", what: "this list", act: () => (helping.value = !helping.value) },
  { keys: "Escape", what: "close it, leave a field", act: leave },
];

/** The key that an event means; null where it is for a field, or for the browser. */
export function keyOf(
  event: Pick<KeyboardEvent, "key" | "ctrlKey" | "metaKey" | "altKey">,
  inField: boolean,
): string | null {
  if (event.ctrlKey || event.metaKey || event.altKey) return null;
  if (inField && event.key !== "Escape") return null;
  return event.key === " " ? "Space" : event.key;
}

export function findKey(keys: readonly Key[], key: string): Key | undefined {
  return keys.find((each) => each.keys.split(" ").includes(key));
}

/** Listens for keys as long as the page is open. */
export function listen(): void {
  addEventListener("keydown", (event) => {
    const target = event.target instanceof HTMLElement ? event.target : null;
    const key = keyOf(event, !!target?.closest("input:not([type=checkbox]), textarea, select"));
    const found = key && findKey(keysNow(), key);
    if (!key || !found || (key === "Space" && target?.closest("button, a, summary"))) return;
    event.preventDefault();
    found.act(key);
  });
  effect(() => {
    if (told.value) setTimeout(() => (told.value = ""), 2500);
  });
}

function leave(): void {
  helping.value = false;
  if (document.activeElement instanceof HTMLElement) document.activeElement.blur();
}
