// Keys and what they do. A screen names its own; those of everywhere stand here.

import { effect, type Signal, signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { copy, helping, told } from "./state";

export interface Key {
  /** As in KeyboardEvent.key, several separated by spaces; `Space` for the space bar. */
  keys: string;
  what: string;
  act: (key: string) => void;
}

type Keys = Signal<readonly Key[]>;

/** The keys of the screen that is shown. */
export const screenKeys: Keys = signal([]);

/** The keys of a part of it, which come first. */
export const panelKeys: Keys = signal([]);

/** The keys of what is around all screens. */
export const shellKeys: Keys = signal([]);

/** Has keys mean something as long as a part is shown; null leaves them to another part. */
export function useKeys(
  to: Keys,
  make: () => readonly Key[] | null,
  inputs: readonly unknown[],
): void {
  useEffect(() => {
    const own = make();
    if (own) to.value = own;
    return () => {
      if (to.peek() === own) to.value = [];
    };
  }, inputs as unknown[]);
}

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

/** What is typed into; a slider is not, but for its arrows. */
const FIELDS = "input:not([type=checkbox], [type=range]), textarea, select";

/** Listens for keys as long as the page is open. */
export function listen(): void {
  addEventListener("keydown", (event) => {
    const target = event.target instanceof HTMLElement ? event.target : null;
    const key = keyOf(event, !!target?.closest(FIELDS));
    const found = key && findKey(keysNow(), key);
    if (!key || !found || (key === "Space" && target?.closest("button, a, summary"))) return;
    if (key.startsWith("Arrow") && target?.closest("input[type=range]")) return;
    event.preventDefault();
    found.act(key);
  });
  effect(() => {
    if (!told.value) return;
    const timer = setTimeout(() => (told.value = ""), 2500);
    return () => clearTimeout(timer);
  });
}

function leave(): void {
  helping.value = false;
  if (document.activeElement instanceof HTMLElement) document.activeElement.blur();
}
