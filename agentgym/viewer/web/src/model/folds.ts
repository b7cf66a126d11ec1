// Rows of rollouts side by side: which are shown, and which of them are marked.

import type { AlignedRow } from "./types";

export interface Line {
  /** Number of the row; of the first one of those that are hidden. */
  row: number;
  /** How many rows this line stands for without showing them; 0: it shows its row. */
  hidden: number;
}

/** Hide the shared beginning, all that is shared, or nothing. */
export const FOLDS = ["beginning folded", "only what differs", "all rows"] as const;
export type Fold = (typeof FOLDS)[number];

/** How much is folded: nothing of one rollout, with which all is shared. */
export function foldOf(wanted: string | undefined, members: number): Fold {
  if (members === 1) return "all rows";
  return FOLDS.find((each) => each === wanted) ?? FOLDS[0];
}

/**
 * The lines to show: every row, or a line for each run of hidden ones. Marked rows are shown, and so is
 * the one in which a fork `began`.
 */
export function folds(rows: readonly AlignedRow[], fold: Fold, began = -1): Line[] {
  const lines: Line[] = [];
  for (const [row, each] of rows.entries()) {
    const last = lines.at(-1);
    if (row === began || !isHidden(each, fold)) lines.push({ row, hidden: 0 });
    else if (last && last.hidden > 0) last.hidden++;
    else lines.push({ row, hidden: 1 });
  }
  return lines;
}

function isHidden(row: AlignedRow, fold: Fold): boolean {
  if (fold === "all rows" || row.rejoins) return false;
  return fold === "only what differs" ? row.same === "all" : row.folded;
}

/** The line of a row, or the one that hides it. */
export function lineOf(lines: readonly Line[], row: number): number {
  const after = lines.findIndex((line) => line.row > row);
  return after < 0 ? Math.max(0, lines.length - 1) : Math.max(0, after - 1);
}

/** The rows where rollouts part first, where some meet again, and where a fork `began`. */
export function marks(rows: readonly AlignedRow[], diverge: number | null, began = -1): number[] {
  return rows.flatMap((row, at) => (at === diverge || at === began || row.rejoins ? [at] : []));
}

/** The row in which forks begin, of which all steps before `turn` are their parent's; -1: in none. */
export function beginOf(rows: readonly AlignedRow[], turn: number | null | undefined): number {
  return turn == null ? -1 : rows.findIndex((row) => row.cells.includes(turn));
}

/** The number in an ascending list after `at`, or with `by` -1 before it; around the end. */
export function nextOf(list: readonly number[], at: number, by: number): number | undefined {
  return by > 0
    ? (list.find((each) => each > at) ?? list[0])
    : (list.findLast((each) => each < at) ?? list.at(-1));
}
