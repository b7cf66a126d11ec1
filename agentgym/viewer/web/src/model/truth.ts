// Token truth: whether the recorded ids are those of their text, and whether the mask is where
// sampling began and ended.

import { useMemo } from "preact/hooks";
import { ApiError, type Columns, truth } from "./api";
import { Pages } from "./pages";
import { at, type TokenRow } from "./spans";
import { query } from "./state";

/** Of each token the ids that its text would have instead; null: the same. */
export type Truths = Pages<number[] | null>;

/** What is asked where the address says `truth=1`; null: it does not. */
export function useTruths(run: string, episode: string, segment: number): Truths | null {
  const isAsked = query.value["truth"] === "1";
  return useMemo(
    () =>
      isAsked
        ? new Pages((first, size) => askTruth(run, episode, segment, first, size), 1024)
        : null,
    [run, episode, segment, isAsked],
  );
}

/** Whether the record says of a token that it was sampled where no step did, or the reverse. */
export function isMaskWrong(found: Columns, row: TokenRow, place: number): boolean {
  const sampled = at(found["sampled"], place);
  return sampled !== null && (sampled !== 0) !== (row.step !== null);
}

/** Classes of a token. */
export function truthClass(
  found: Columns,
  row: TokenRow,
  place: number,
  truths: Truths | null,
): string {
  return `${truths?.at(place) ? "drift" : ""} ${isMaskWrong(found, row, place) ? "mask-wrong" : ""}`;
}

/** What is wrong with a token; "" if nothing is known to be. */
export function truthWords(
  found: Columns,
  row: TokenRow,
  place: number,
  truths: Truths | null,
): string {
  const other = truths?.at(place);
  const words = other ? `its text would be tokenised as ${other.join(" ") || "nothing"}` : "";
  if (!isMaskWrong(found, row, place)) return words;
  const mask = row.step
    ? "the mask says that it was given"
    : "the mask says that it was sampled, and no step did";
  return words ? `${mask}; ${words}` : mask;
}

async function askTruth(
  run: string,
  episode: string,
  segment: number,
  first: number,
  size: number,
): Promise<{ total: number; rows: (number[] | null)[] }> {
  const found = await truth(run, episode, segment, first, first + size);
  if (!found.truth)
    throw new ApiError(`the truth is not known: ${found.why}`, found.hint ?? null, null, 0);
  return { total: found.of ?? 0, rows: found.truth };
}
