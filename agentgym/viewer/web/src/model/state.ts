// What is looked at, and how: one address, one theme, one mode of colour, for every panel.

import { computed, signal } from "@preact/signals";
import { type Address, type Place, parseAddress, printAddress } from "./address";
import { token } from "./owner";
import { canonical, file } from "./shared";
import type { State } from "./types";

export const THEMES = ["auto", "light", "dark"] as const;
export type Theme = (typeof THEMES)[number];

export const address = signal<Address>(parseAddress("/"));
export const theme = signal<Theme>("auto");
export const helping = signal(false);
/** Whether the page is on its way to paper, which needs lists as a whole. */
export const printing = signal(false);
/** Whether the server tells what grows. */
export const connected = signal(true);
/** How often the server came back: what could not be asked is asked again. */
export const returned = signal(0);
/** A line that says what just happened, such as a link that was copied. */
export const told = signal("");
/** The newest state of each run that changed since the page was opened. */
export const grown = signal<Record<string, State>>({});

/** The run that is looked at is no longer where it was: it was moved, deleted or emptied. */
export const isGone = computed(() => {
  const at = address.value.place;
  const state = "run" in at ? grown.value[at.run] : undefined;
  return state?.status === "unknown" && state.episodes === 0;
});

export const place = computed(() => address.value.place);
export const query = computed(() => address.value.query);

/** Goes to another place; the button back leads here again. */
export function go(to: Place, how: Record<string, string | undefined> = {}): void {
  show(printAddress(to, how), true);
}

/** Looks at another turn of an episode: at no token of it, and where its tokens are. */
export function lookAtTurn(turn: number): void {
  look(atTurn(turn));
}

/** The words of the query for a turn. */
export function atTurn(turn: number): Record<string, string | undefined> {
  return { turn: String(turn), token: undefined, segment: undefined };
}

/** Looks at this place in another way; `undefined` takes a word out of the address. */
export function look(how: Record<string, string | undefined>, keep = false): void {
  show(printAddress(place.value, { ...query.value, ...how }), keep);
}

const REST = 250; // milliseconds: browsers refuse to write addresses much more often
let writing: ReturnType<typeof setTimeout> | null = null;

/** Looks in another way many times a second; the address follows a few times a second. */
export function pass(how: Record<string, string | undefined>): void {
  const url = printAddress(place.value, { ...query.value, ...how });
  address.value = parseAddress(...pathAndSearch(url));
  writing ??= setTimeout(() => {
    writing = null;
    show(printAddress(place.value, query.value), false);
  }, REST);
}

/** A word of the query as a whole number from 0 on; null where it is none. */
export function whole(name: string): number | null {
  const text = query.value[name] ?? "";
  return /^\d{1,9}$/.test(text) ? Number(text) : null;
}

export function setTheme(next: Theme): void {
  theme.value = next;
  document.documentElement.dataset["theme"] = next;
  try {
    localStorage.setItem("theme", next);
  } catch {
    // A browser that keeps nothing shows this theme until the page is left.
  }
}

/** Puts a text where it can be pasted from, and says so. */
export async function copy(text: string, what: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
    told.value = what;
  } catch {
    told.value = "the browser does not let this page copy";
  }
}

/** Reads the address and the theme, and follows links and the buttons of the browser. */
export function begin(): void {
  follow();
  addEventListener("popstate", follow);
  addEventListener("click", followLink);
  addEventListener("beforeprint", () => (printing.value = true));
  addEventListener("afterprint", () => (printing.value = false));
  setTheme(THEMES.find((each) => each === kept()) ?? "auto");
  if (file) return;
  document.addEventListener("visibilitychange", listenWhileSeen);
  listenWhileSeen();
}

const AGAIN = 3000; // milliseconds until a server that refused to tell is asked again
let source: EventSource | null = null;

/** Listens for what grows. Pages that nobody sees do not: a browser has few connections to a server. */
function listenWhileSeen(): void {
  if (document.hidden) {
    source?.close();
    source = null;
  } else source ??= listenToServer();
}

function listenToServer(): EventSource {
  const opened = new EventSource(canonical("/api/tail", { token: token() ?? undefined }));
  opened.onopen = () => {
    if (!connected.value) returned.value++;
    connected.value = true;
  };
  opened.onerror = () => {
    connected.value = false;
    if (opened.readyState === EventSource.CLOSED) setTimeout(() => refused(opened), AGAIN);
  };
  opened.onmessage = (event: MessageEvent<string>) => {
    const state = JSON.parse(event.data) as State;
    grown.value = { ...grown.value, [state.run]: state };
  };
  return opened;
}

/** Browsers ask again by themselves only after an answer that was no refusal. */
function refused(closed: EventSource): void {
  if (source !== closed) return;
  source = null;
  listenWhileSeen();
}

function show(url: string, keep: boolean): void {
  if (url !== here()) history[keep ? "pushState" : "replaceState"](null, "", url);
  follow(); // also where the address is the same: what passes may not have been written to it yet
}

/** The address of this page; of a file its fragment. */
function here(): string {
  return file ? location.hash || `#${file.page}` : location.pathname + location.search;
}

function follow(): void {
  address.value = parseAddress(...pathAndSearch(here()));
}

function pathAndSearch(url: string): [string, string] {
  const [path, ...search] = url.replace(/^#/, "").split("?");
  return [path!, search.join("?")];
}

function followLink(event: MouseEvent): void {
  const link = event.target instanceof Element ? event.target.closest("a") : null;
  const plain =
    event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey;
  if (!link || !plain || link.target || link.origin !== location.origin || event.defaultPrevented)
    return;
  if (link.pathname.startsWith("/api/") || link.pathname.startsWith("/share")) return;
  event.preventDefault();
  show(file ? link.hash : link.pathname + link.search, true);
}

function kept(): string | null {
  try {
    return localStorage.getItem("theme");
  } catch {
    return null;
  }
}
