// The reward ledger under the turns: every term and gate, a cell for each turn.

import { useMemo } from "preact/hooks";
import type { JSX } from "preact";
import { visible } from "../model/ansi";
import { colourOf, type Scale, symmetric } from "../model/colours";
import { number, signed } from "../model/format";
import { pageOf } from "../model/playing";
import { lookAtTurn } from "../model/state";
import { cellWords, GLYPHS, MEANINGS } from "../model/terms";
import type { Ledger, LedgerTerm } from "../model/types";

/** Every term and every gate, a cell for each turn; the sums make up the reward. */
export function LedgerRows({
  ledger,
  turn,
  size,
}: {
  ledger: Ledger;
  turn: number;
  size: number;
}): JSX.Element {
  const page = pageOf(turn, ledger.rewards.length, size);
  const scale = useMemo(
    () => symmetric([...ledger.terms.flatMap((row) => row.paid), ...ledger.rewards]),
    [ledger],
  );
  const follow = (event: MouseEvent) => {
    const cell = event.target instanceof Element ? event.target.closest("[data-turn]") : null;
    if (cell instanceof HTMLElement) lookAtTurn(Number(cell.dataset["turn"]));
  };
  const shared = { page, turn, scale, ledger };
  return (
    <div class="turn-rows" role="table" tabIndex={0} aria-label="reward ledger" onClick={follow}>
      <TurnNumbers page={page} turn={turn} of={ledger.rewards.length} />
      <SumRow {...shared} name="reward" values={ledger.rewards} />
      {ledger.recorded && <SumRow {...shared} name="trained on" values={ledger.recorded} />}
      {ledger.terms.map((row) => (
        <>
          <TermRow {...shared} row={row} />
          {ledger.gates
            .filter((gate) => gate.term === row.term && row.raw.some((given) => given !== 0))
            .map((gate) => (
              <GateRow {...shared} gate={gate} />
            ))}
        </>
      ))}
    </div>
  );
}

interface RowProps {
  ledger: Ledger;
  page: [number, number];
  turn: number;
  scale: Scale;
}

function turnsOf([first, stop]: [number, number]): number[] {
  return Array.from({ length: stop - first }, (_, at) => first + at);
}

function TurnNumbers({
  page,
  turn,
  of,
}: {
  page: [number, number];
  turn: number;
  of: number;
}): JSX.Element {
  const every = page[1] > 100 ? 5 : 1;
  return (
    <div class="turn-line head" role="row">
      <span role="columnheader" class="quiet">
        {page[1] - page[0] < of ? `turns ${page[0]}–${page[1] - 1}` : ""}
      </span>
      <span class="cells-of" role="presentation">
        {turnsOf(page).map((at) => (
          <span
            role="columnheader"
            data-turn={at}
            class={`tick num ${at === turn ? "here" : "quiet"}`}
            aria-label={`turn ${at}`}
          >
            {at % every === 0 ? at : ""}
          </span>
        ))}
      </span>
      <span role="columnheader" class="num quiet" />
    </div>
  );
}

function TermRow({ ledger, page, turn, scale, row }: RowProps & { row: LedgerTerm }): JSX.Element {
  const name = visible(row.term);
  const how = [row.weight !== null && `× ${number(row.weight)}`, row.form, row.scope]
    .filter(Boolean)
    .join(", ");
  return (
    <div class="turn-line" role="row">
      <span role="rowheader" class="name" title={how ? `${name} (${how})` : name}>
        {name}
      </span>
      <span class="cells-of" role="presentation">
        {turnsOf(page).map((at) => {
          const state = row.states[at] ?? "not reached";
          return (
            <span
              role="cell"
              data-turn={at}
              class={`tick state-${state.replace(" ", "-")} ${row.paid[at] ? colourOf(scale, row.paid[at]) : ""} ${at === turn ? "here" : ""}`}
              title={cellWords(row, at, ledger.gates)}
              aria-label={cellWords(row, at, ledger.gates)}
            >
              {GLYPHS[state] ?? "?"}
            </span>
          );
        })}
      </span>
      <span role="cell" class="num" title={`${name}, in all`}>
        {row.weight === null && !row.total ? "" : signed(row.total)}
      </span>
    </div>
  );
}

function GateRow({ page, turn, gate }: RowProps & { gate: Ledger["gates"][number] }): JSX.Element {
  const name = visible(gate.condition);
  return (
    <div class="turn-line gate" role="row">
      <span role="rowheader" class="name quiet" title={`gate of ${gate.term}: ${name}`}>
        {name.startsWith("as far") ? name : `if ${name}`}
      </span>
      <span class="cells-of" role="presentation">
        {turnsOf(page).map((at) => {
          const share = gate.share[at] ?? 0;
          const words = `turn ${at}, ${name}: lets through ${number(share)}`;
          return (
            <span
              role="cell"
              data-turn={at}
              class={`tick ${share > 0 ? "lets" : "stops"} ${at === turn ? "here" : ""}`}
              title={words}
              aria-label={words}
            >
              {share === 0 ? "▪" : share < 1 ? "▫" : " "}
            </span>
          );
        })}
      </span>
      <span role="cell" class="num quiet">
        {number(gate.share.at(-1) ?? null)}
      </span>
    </div>
  );
}

function SumRow({
  page,
  turn,
  scale,
  name,
  values,
}: RowProps & { name: string; values: readonly number[] }): JSX.Element {
  return (
    <div class="turn-line sum" role="row">
      <span role="rowheader" class="name">
        {name}
      </span>
      <span class="cells-of" role="presentation">
        {turnsOf(page).map((at) => (
          <span
            role="cell"
            data-turn={at}
            class={`tick ${values[at] ? colourOf(scale, values[at]) : ""} ${at === turn ? "here" : ""}`}
            title={`turn ${at}: ${name} ${number(values[at], 6)}`}
            aria-label={`turn ${at}: ${name} ${number(values[at], 6)}`}
          >
            {values[at] ? (values[at]! > 0 ? "+" : "−") : ""}
          </span>
        ))}
      </span>
      <span role="cell" class="num">
        {signed(values.reduce((all, each) => all + each, 0))}
      </span>
    </div>
  );
}

/** What the marks mean. */
export function Marks(): JSX.Element {
  return (
    <p class="ledger-marks quiet">
      {Object.entries(GLYPHS).map(([state, glyph]) => (
        <span title={MEANINGS[state]}>
          {glyph} {state}
        </span>
      ))}
      <span title="a gate that lets nothing through">▪ shut</span>
    </p>
  );
}
