// Addresses of the pages, and what they show. Names may hold any character, a slash too.

export type Place =
  | { screen: "runs" }
  | { screen: "run"; run: string }
  | { screen: "group"; run: string; group: string }
  | { screen: "episode"; run: string; episode: string }
  | { screen: "compare"; a: string; b: string }
  | { screen: "nowhere" };

export interface Address {
  place: Place;
  /** How the place is looked at: turn, token, where, sort, ... */
  query: Readonly<Record<string, string>>;
}

/** Reads the path and the query of an address; one that cannot be read leads nowhere. */
export function parseAddress(path: string, search = ""): Address {
  return { place: parsePlace(path), query: Object.fromEntries(new URLSearchParams(search)) };
}

/** Writes an address such that parseAddress reads it back; empty words of the query are left out. */
export function printAddress(
  place: Place,
  query: Readonly<Record<string, string | undefined>> = {},
): string {
  const words = Object.entries(query).filter((word): word is [string, string] => !!word[1]);
  const search = new URLSearchParams(words).toString();
  return before + printPlace(place) + (search && `?${search}`);
}

let before = "";

/** Makes addresses fragments, the only ones that a page without a server can go to. */
export function inFragments(): void {
  before = "#";
}

/**
 * A part of an address, with all but letters, digits and `-._~` as percents; lone surrogates, which no address can hold, become U+FFFD. Names that are
 * `.` or `..` have no address: browsers take those out, however they are written.
 */
export function encodePart(name: string): string {
  return encodeURIComponent(name.toWellFormed()).replace(
    /[!'()*]/g,
    (each) => `%${each.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

function parsePlace(path: string): Place {
  const parts = decodeParts(path);
  if (!parts) return { screen: "nowhere" };
  const [first, second, third, fourth] = parts;
  if (parts.length === 0) return { screen: "runs" };
  if (first === "compare" && parts.length === 3)
    return { screen: "compare", a: second!, b: third! };
  if (first !== "run" || !second) return { screen: "nowhere" };
  if (parts.length === 2) return { screen: "run", run: second };
  if (parts.length !== 4) return { screen: "nowhere" };
  if (third === "group") return { screen: "group", run: second, group: fourth! };
  if (third === "episode") return { screen: "episode", run: second, episode: fourth! };
  return { screen: "nowhere" };
}

function decodeParts(path: string): string[] | null {
  try {
    const inner = path.replace(/^\//, "").replace(/\/$/, "");
    return inner ? inner.split("/").map(decodeURIComponent) : [];
  } catch {
    return null;
  }
}

function printPlace(place: Place): string {
  switch (place.screen) {
    case "run":
      return `/run/${encodePart(place.run)}`;
    case "group":
      return `/run/${encodePart(place.run)}/group/${encodePart(place.group)}`;
    case "episode":
      return `/run/${encodePart(place.run)}/episode/${encodePart(place.episode)}`;
    case "compare":
      return `/compare/${encodePart(place.a)}/${encodePart(place.b)}`;
    default:
      return "/";
  }
}
