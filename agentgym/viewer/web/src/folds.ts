// Rows of rollouts side by side, those folded in which all did the same.

import type { AlignedRow } from "./types";

export interface Line {
  /** Number of the row; of the first one of those that are hidden. */
  row: number;
  /** How many rows this line stands for without showing them; 0: it shows its row. */
  hidden: number;
}

/** The lines to show: every row, or a line for each run of folded ones. */
export function folds(rows: readonly AlignedRow[], unfolded: boolean): Line[] {
  const lines: Line[] = [];
  for (const [row, { folded }] of rows.entries()) {
    const last = lines.at(-1);
    if (!folded || unfolded) lines.push({ row, hidden: 0 });
    else if (last && last.hidden > 0) last.hidden++;
    else lines.push({ row, hidden: 1 });
  }
  return lines;
}
