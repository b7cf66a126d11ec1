// Two texts line by line: what is in both, what only the first has, what only the second.

export interface DiffLine {
  kind: "same" | "gone" | "new";
  text: string;
  /** Its number in the text before, and in the one after; from 1, null where it is not in it. */
  before: number | null;
  after: number | null;
}

/** Lines of a diff, or how many of them, all the same in both texts, are left out here. */
export type DiffRow = DiffLine | { kind: "folded"; count: number };

const MOST = 4_000_000; // pairs of lines that are compared; of more, the middle is told as replaced
const AROUND = 3;

/** All lines of both texts in order; as many as possible are the same. */
export function diffLines(before: string, after: string): DiffLine[] {
  const [a, b] = [split(before), split(after)];
  let head = 0;
  while (head < a.length && head < b.length && a[head] === b[head]) head++;
  let tail = 0;
  while (tail < Math.min(a.length, b.length) - head && a.at(-1 - tail) === b.at(-1 - tail)) tail++;
  const [stopA, stopB] = [a.length - tail, b.length - tail];
  const lines: DiffLine[] = [];
  const same = (i: number, j: number) =>
    lines.push({ kind: "same", text: a[i]!, before: i + 1, after: j + 1 });
  for (let i = 0; i < head; i++) same(i, i);
  let [i, j] = [head, head];
  const pairs = [
    ...common(a.slice(head, stopA), b.slice(head, stopB)),
    [stopA - head, stopB - head],
  ];
  for (const [x, y] of pairs as [number, number][]) {
    for (; i < head + x; i++) lines.push({ kind: "gone", text: a[i]!, before: i + 1, after: null });
    for (; j < head + y; j++) lines.push({ kind: "new", text: b[j]!, before: null, after: j + 1 });
    if (i < stopA) same(i++, j++);
  }
  for (let back = tail; back > 0; back--) same(a.length - back, b.length - back);
  return lines;
}

/** The lines that changed, with a few around them; the rest is folded. */
export function diffRows(lines: readonly DiffLine[], around = AROUND): DiffRow[] {
  const near = new Uint8Array(lines.length);
  lines.forEach((line, at) => {
    if (line.kind !== "same") near.fill(1, Math.max(0, at - around), at + around + 1);
  });
  const rows: DiffRow[] = [];
  for (let at = 0; at < lines.length;) {
    const start = at;
    while (at < lines.length && !near[at]) at++;
    if (at - start > 1) rows.push({ kind: "folded", count: at - start });
    else if (at > start) rows.push(lines[start]!);
    while (at < lines.length && near[at]) rows.push(lines[at++]!);
  }
  return rows;
}

function split(text: string): string[] {
  return text ? text.split("\n") : [];
}

/** Pairs of places of a longest sequence of lines that both have, in order. */
function common(a: readonly string[], b: readonly string[]): [number, number][] {
  if (a.length * b.length > MOST) return [];
  const width = b.length + 1;
  const longest = new Uint32Array((a.length + 1) * width);
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      longest[i * width + j] =
        a[i] === b[j]
          ? longest[(i + 1) * width + j + 1]! + 1
          : Math.max(longest[(i + 1) * width + j]!, longest[i * width + j + 1]!);
    }
  }
  const pairs: [number, number][] = [];
  for (let i = 0, j = 0; i < a.length && j < b.length;) {
    if (a[i] === b[j]) pairs.push([i++, j++]);
    else if (longest[(i + 1) * width + j]! >= longest[i * width + j + 1]!) i++;
    else j++;
  }
  return pairs;
}
