// The heights of a long list, of which only some were measured: where is item i, what is at y.
// A Fenwick tree of what differs from the guess, so that both cost log n with a million items.

export class Heights {
  private readonly tree: Float64Array;
  private readonly known = new Map<number, number>();

  constructor(
    readonly count: number,
    readonly guess: number,
  ) {
    this.tree = new Float64Array(count + 1);
  }

  get total(): number {
    return this.offset(this.count);
  }

  /** The height of item i, measured or guessed. */
  of(index: number): number {
    return this.known.get(index) ?? this.guess;
  }

  /** Takes a measured height; says whether anything changed. */
  set(index: number, height: number): boolean {
    const change = height - this.of(index);
    if (Math.abs(change) < 0.25) return false;
    this.known.set(index, height);
    for (let at = index + 1; at <= this.count; at += at & -at) this.tree[at]! += change;
    return true;
  }

  /** The top of item i; that of item `count` is the end of the list. */
  offset(index: number): number {
    let sum = index * this.guess;
    for (let at = index; at > 0; at -= at & -at) sum += this.tree[at]!;
    return sum;
  }

  /** The item that covers y: the last whose top is not below it; 0 of an empty list. */
  at(y: number): number {
    let found = 0;
    let rest = y;
    for (let bit = highestBit(this.count); bit > 0; bit >>= 1) {
      const next = found + bit;
      if (next > this.count) continue;
      const height = bit * this.guess + this.tree[next]!;
      if (height > rest) continue;
      found = next;
      rest -= height;
    }
    return Math.max(0, Math.min(found, this.count - 1));
  }
}

export interface Anchor {
  /** The first item that is seen. */
  index: number;
  /** How much of it is above the upper edge, in pixels. */
  hidden: number;
}

/** What is at the upper edge, so that it can stay there while heights above it become known. */
export function anchorAt(heights: Heights, scroll: number): Anchor {
  const index = heights.at(scroll);
  return { index, hidden: scroll - heights.offset(index) };
}

/** The items [first, stop) that are seen, and `spare` pixels more on both sides. */
export function windowOf(
  heights: Heights,
  scroll: number,
  size: number,
  spare = 300,
): [number, number] {
  if (heights.count === 0) return [0, 0];
  return [heights.at(scroll - spare), heights.at(scroll + size + spare) + 1];
}

function highestBit(count: number): number {
  return count > 0 ? 1 << (31 - Math.clz32(count)) : 0;
}
