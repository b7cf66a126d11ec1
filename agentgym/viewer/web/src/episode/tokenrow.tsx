// A row of tokens: an element for each, with its colour and what is marked on it.

import type { JSX } from "preact";
import { visible } from "../model/ansi";
import type { Columns } from "../model/api";
import { colourOf, type Scale } from "../model/colours";
import { piece } from "../model/format";
import type { Pages } from "../model/pages";
import { at, type TokenRow } from "../model/spans";
import { type Truths, truthClass } from "../model/truth";

type Texts = Pages<string | null>;

/** What of a row changes while one looks at it. */
export interface RowState {
  isHere: boolean;
  /** Whether its texts are there. */
  isThere: boolean;
  /** The place that is looked at; -1: none of this row. */
  chosen: number;
}

export function rowState({ isHere, isThere, chosen }: RowState): string {
  return `${isHere} ${isThere} ${chosen}`;
}

/** Whether there is anything to be shown: the texts, or why there are none. */
export function isThere(row: TokenRow, texts: Texts): boolean {
  const ends = [row.first, row.stop - 1];
  return !!texts.error.value || ends.every((place) => texts.at(place) !== undefined);
}

/** The height of a row whose texts are not there, which is that of rows that were never seen. */
export const ROW = 100;

interface Props extends RowState {
  row: TokenRow;
  found: Columns;
  values: Float32Array;
  scale: Scale;
  texts: Texts;
  truths: Truths | null;
}

export function Row(props: Props): JSX.Element {
  const { row, isHere, isThere } = props;
  const style = `message tokens ${row.step ? "role-assistant" : "given"} ${row.head ? "head" : ""} ${isHere ? "here" : ""}`;
  return (
    <div class={style} style={isThere ? {} : { height: `${ROW}px` }}>
      <div class="gutter">
        {row.head && row.step && <span class="turn num">{row.step.index}</span>}
        <span class="quiet num">{row.first}</span>
        {row.head && !row.step && <span class="quiet">given</span>}
      </div>
      <pre class="said">{isThere ? spans(props) : "·".repeat(row.stop - row.first)}</pre>
    </div>
  );
}

/** An element for each token, which is dear: they are made when the texts are there. */
function spans({ row, found, values, scale, texts, truths, chosen }: Props): JSX.Element[] {
  void truths?.came.value; // the same object when more of it came: nothing else would draw a row again
  const tokens: JSX.Element[] = [];
  for (let place = row.first; place < row.stop; place++) {
    const swap = row.step?.versions.some(
      ([token]) => token > 0 && token === place - row.step!.tokens![0],
    );
    const style = `t ${colourOf(scale, values[place])} ${place === chosen ? "chosen" : ""} ${swap ? "swap" : ""} ${truthClass(found, row, place, truths)}`;
    tokens.push(
      <span class={style} data-place={place}>
        {shown(texts.at(place), at(found["token_ids"], place), !!texts.error.value)}
      </span>,
    );
  }
  return tokens;
}

function shown(text: string | null | undefined, id: number | null, isFailed: boolean): string {
  if (text === undefined) return isFailed ? ` ${id ?? "?"}` : "·";
  if (text === null) return ` ${id ?? "?"}`;
  return visible(piece(text)) || "∅";
}
