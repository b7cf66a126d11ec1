// Search in a list of which the browser sees only a part.

export interface Match {
  /** Number of the text. */
  item: number;
  start: number;
  stop: number;
}

const MOST = 10_000;

/** Where a text occurs, in any case of its letters, in the order of the texts; at most 10,000 times. */
export function find(texts: readonly string[], wanted: string): Match[] {
  const found: Match[] = [];
  if (!wanted) return found;
  const pattern = new RegExp(wanted.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&"), "giu");
  for (const [item, text] of texts.entries()) {
    for (const match of text.matchAll(pattern)) {
      if (found.length === MOST) return found;
      found.push({ item, start: match.index, stop: match.index + match[0].length });
    }
  }
  return found;
}

/** The number of the first match at or after an item, so that a search begins where one looks. */
export function firstFrom(matches: readonly Match[], item: number): number {
  const at = matches.findIndex((match) => match.item >= item);
  return Math.max(0, at);
}

/** The matches in one item; they stand together, as matches are in the order of the items. */
export function cutMatches(matches: readonly Match[], item: number): readonly Match[] {
  const start = lowerBound(matches, item);
  return matches.slice(start, lowerBound(matches, item + 1));
}

function lowerBound(matches: readonly Match[], item: number): number {
  let [low, high] = [0, matches.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (matches[middle]!.item < item) low = middle + 1;
    else high = middle;
  }
  return low;
}
