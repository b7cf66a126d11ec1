// Numbers to classes of colour. The classes are defined in parts/values.css for both themes: n4 ... n1 for
// less than zero (orange), zero, p1 ... p4 for more (blue), s0 ... s7 for what has no sign.

export type Scale =
  | { kind: "diverging"; most: number }
  | { kind: "sequential"; low: number; high: number }
  | { kind: "classes"; names: readonly string[] };

const LEVELS = 4;
const SHADES = 8;

/** The class of a value; "" where there is none. */
export function colourOf(scale: Scale, value: number | null | undefined): string {
  if (value === null || value === undefined || Number.isNaN(value)) return "";
  if (scale.kind === "classes") return `k${value}`;
  return scale.kind === "diverging"
    ? diverging(value, scale.most)
    : sequential(value, scale.low, scale.high);
}

/** A scale that treats both signs alike, so that the strongest value has the strongest colour. */
export function symmetric(values: Iterable<number | null>): Scale {
  let most = 0;
  for (const value of values) {
    if (value !== null && Number.isFinite(value)) most = Math.max(most, Math.abs(value));
  }
  return { kind: "diverging", most };
}

/** The least and the greatest value. */
function extent(values: Iterable<number | null>): [number, number] {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) {
    if (value === null || !Number.isFinite(value)) continue;
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  return [Math.min(low, high), Math.max(low, high)];
}

/** A scale from the least to the greatest value. */
export function fromLeast(values: Iterable<number | null>): Scale {
  const [low, high] = extent(values);
  return { kind: "sequential", low, high };
}

/** A scale from 0 down to the least value, which has the strongest colour. */
export function downFromZero(values: Iterable<number | null>): Scale {
  return { kind: "sequential", low: 0, high: Math.min(0, extent(values)[0]) };
}

/** A scale from 0 up to the greatest value, which has the strongest colour. */
export function upFromZero(values: Iterable<number | null>): Scale {
  return { kind: "sequential", low: 0, high: Math.max(0, extent(values)[1]) };
}

/** Steps of a scale for its legend: the class and a number that has it. */
export function legend(scale: Scale): { colour: string; value: number }[] {
  const values: number[] = [];
  if (scale.kind === "classes") values.push(...scale.names.keys());
  else if (scale.kind === "diverging") {
    for (let level = -LEVELS; level <= LEVELS; level++) values.push((scale.most * level) / LEVELS);
  } else {
    for (let shade = 0; shade < SHADES; shade++) {
      values.push(scale.low + ((scale.high - scale.low) * (shade + 0.5)) / SHADES);
    }
  }
  return values.map((value) => ({ colour: colourOf(scale, value), value }));
}

function diverging(value: number, most: number): string {
  if (value === 0 || most === 0) return "zero";
  const level = Math.min(LEVELS, Math.max(1, Math.ceil((Math.abs(value) / most) * LEVELS)));
  return (value < 0 ? "n" : "p") + level;
}

function sequential(value: number, low: number, high: number): string {
  const share = high !== low ? (value - low) / (high - low) : 0;
  return `s${Math.min(SHADES - 1, Math.max(0, Math.floor(share * SHADES)))}`;
}
