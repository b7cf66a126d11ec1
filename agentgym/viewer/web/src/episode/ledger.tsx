// The rewards of one turn in numbers, and what they rest on.

import "./ledger.css";
import { useMemo } from "preact/hooks";
import type { JSX } from "preact";
import { visible } from "../model/ansi";
import { type Scale, symmetric } from "../model/colours";
import { number } from "../model/format";
import { Quiet, Shade, Text } from "../parts/parts";
import { sum } from "../model/terms";
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
        <Quiet>No reward was recorded of this episode.</Quiet>
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
