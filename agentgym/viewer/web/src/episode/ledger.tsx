// The reward ledger: every term and gate under the turns, and the numbers of one turn.

import "./ledger.css";
import { useMemo } from "preact/hooks";
import type { JSX } from "preact";
import { visible } from "../model/ansi";
import { colourOf, type Scale, symmetric } from "../model/colours";
import { number, signed } from "../model/format";
import { Quiet, Shade, Text } from "../parts/parts";
import { pageOf } from "../model/playing";
import { lookAtTurn } from "../model/state";
import { cellWords, GLYPHS, MEANINGS, sum } from "../model/terms";
import type { Ledger, LedgerTerm, Message } from "../model/types";

const MOST_SAID = 1500; // characters of an answer that stand beside the rewards

/** The terms of one turn in numbers, and what it was answered: what the rewards rest on. */
export function TurnRewards({
  ledger,
  turn,
  replies,
}: {
  ledger: Ledger;
  turn: number;
  /** What the turn was answered; undefined while that is not here. */
  replies: readonly Message[] | undefined;
}): JSX.Element {
  const { terms } = ledger;
  const scale = useMemo(
    () => symmetric(terms.flatMap((row) => [...row.paid, row.total])),
    [ledger],
  );
  if (terms.length === 0)
    return (
      <section>
        <h2>Rewards</h2>
        <Quiet>No term was given.</Quiet>
      </section>
    );
  return (
    <section>
      <h2>
        Rewards <span class="quiet">turn {turn}, and the whole episode</span>
      </h2>
      <table class="ledger">
        <thead>
          <tr>
            {HEADS.map(([name, words]) => (
              <th scope="col" class={words ? "num" : ""} title={words}>
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {terms.map((row) => (
            <Line row={row} turn={turn} scale={scale} shut={shutGates(ledger, row, turn)} />
          ))}
        </tbody>
        <tfoot>
          <tr>
            <th scope="row">sum</th>
            <td />
            <td class="num">
              <Shade value={ledger.rewards[turn] ?? null} scale={scale} what="paid" />
            </td>
            <td />
            <td class="num">
              <Shade value={ledger.total} scale={scale} what="paid in all" />
            </td>
            <td />
          </tr>
        </tfoot>
      </table>
      {replies && <Evidence replies={replies} turn={turn} />}
    </section>
  );
}

const HEADS = [
  ["term", ""],
  ["given", "as the environment gave it, at this turn"],
  ["paid", "its part of the reward, at this turn"],
  ["Σ given", "as the environment gave it, in all"],
  ["Σ paid", "its part of the reward, in all"],
  ["gates", "whether its gates are open after this turn"],
] as const;

function shutGates(ledger: Ledger, row: LedgerTerm, turn: number): string[] | null {
  const own = ledger.gates.filter((gate) => gate.term === row.term);
  if (own.length === 0) return null;
  return own.filter((gate) => (gate.share[turn] ?? 0) === 0).map((gate) => gate.condition);
}

function Line({
  row,
  turn,
  scale,
  shut,
}: {
  row: LedgerTerm;
  turn: number;
  scale: Scale;
  shut: string[] | null;
}): JSX.Element {
  const isUnused = row.states[turn] === "unused";
  return (
    <tr class={isUnused ? "quiet" : ""}>
      <th scope="row" title={row.term}>
        {visible(row.term)}
      </th>
      <td class="num">{number(row.raw[turn] ?? null)}</td>
      <td class="num">
        {!isUnused && (
          <Shade value={row.paid[turn] ?? null} scale={scale} what={`paid of ${row.term}`} />
        )}
      </td>
      <td class="num">{number(sum(row.raw))}</td>
      <td class="num">
        {!isUnused && <Shade value={row.total} scale={scale} what={`paid in all of ${row.term}`} />}
      </td>
      <td class={`num ${shut?.length ? "shut" : ""}`} title={shut?.join(", ")}>
        {shut === null ? "" : shut.length ? "shut" : "open"}
      </td>
    </tr>
  );
}

/** What the environment, a judge or a test answered at the turn. */
function Evidence({ replies, turn }: { replies: readonly Message[]; turn: number }): JSX.Element {
  const texts = replies.map((reply) => reply.content).filter((text) => typeof text === "string");
  if (texts.length === 0) return <p class="quiet evidence">Turn {turn} was not answered.</p>;
  return (
    <div class="evidence" role="region" aria-label="what the turn was answered" tabIndex={0}>
      <p class="quiet">Turn {turn} was answered:</p>
      {texts.map((text) => (
        <pre>
          <Text text={text.slice(0, MOST_SAID)} />
          {text.length > MOST_SAID && <span class="quiet"> …</span>}
        </pre>
      ))}
    </div>
  );
}

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
        {row.weight === null && row.total === 0 ? "" : signed(row.total)}
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
