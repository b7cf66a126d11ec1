// The reward ledger: every term, as the environment gave it and as it was paid.

import { useMemo } from "preact/hooks";
import type { JSX } from "preact";
import { visible } from "./ansi";
import { type Scale, symmetric } from "./colours";
import { number } from "./format";
import { Quiet, Shade } from "./parts";
import type { Episode, Step } from "./types";

interface TermLine {
  term: string;
  given: number | null;
  paid: number | null;
  allGiven: number | null;
  allPaid: number | null;
  gate: number | null;
}

export function Ledger({ episode, turn }: { episode: Episode; turn: number }): JSX.Element {
  const lines = useMemo(() => termLines(episode, turn), [episode, turn]);
  const scale = useMemo(
    () => symmetric(lines.flatMap((each) => [each.allPaid, each.paid, each.allGiven])),
    [lines],
  );
  if (lines.length === 0)
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
            <th scope="col">term</th>
            <th scope="col" class="num" title="as the environment gave it, at this turn">
              given
            </th>
            <th scope="col" class="num" title="its part of the reward, at this turn">
              paid
            </th>
            <th scope="col" class="num" title="as the environment gave it, in all">
              Σ given
            </th>
            <th scope="col" class="num" title="its part of the reward, in all">
              Σ paid
            </th>
            <th scope="col" class="num" title="how much its gates let through">
              gate
            </th>
          </tr>
        </thead>
        <tbody>
          {lines.map((line) => (
            <Line line={line} scale={scale} />
          ))}
        </tbody>
        <tfoot>
          <Line line={sums(lines)} scale={scale} />
        </tfoot>
      </table>
    </section>
  );
}

function Line({ line, scale }: { line: TermLine; scale: Scale }): JSX.Element {
  return (
    <tr>
      <th scope="row" title={line.term}>
        {visible(line.term)}
      </th>
      <td class="num">{number(line.given)}</td>
      <td class="num">
        <Shade value={line.paid} scale={scale} what={`paid of ${line.term}`} />
      </td>
      <td class="num">{number(line.allGiven)}</td>
      <td class="num">
        <Shade value={line.allPaid} scale={scale} what={`paid in all of ${line.term}`} />
      </td>
      <td class={`num ${line.gate !== null && line.gate < 1 ? "shut" : ""}`}>
        {line.gate === null ? "" : number(line.gate)}
      </td>
    </tr>
  );
}

/** A line for each term that was given or paid anywhere; those that were paid lead. */
export function termLines(episode: Pick<Episode, "steps" | "update">, turn: number): TermLine[] {
  const { steps, update } = episode;
  const here = steps[turn];
  const names = new Set<string>();
  for (const step of steps) Object.keys(step.shaped).forEach((name) => names.add(name));
  for (const step of steps) Object.keys(step.reward_terms).forEach((name) => names.add(name));
  return [...names].map((term) => ({
    term,
    given: own(here?.reward_terms, term),
    paid: own(here?.shaped, term),
    allGiven: total(steps, (step) => own(step.reward_terms, term)),
    allPaid: total(steps, (step) => own(step.shaped, term)),
    gate: own(update?.gates, term),
  }));
}

function sums(lines: readonly TermLine[]): TermLine {
  const sum = (value: (line: TermLine) => number | null) =>
    lines.reduce<number | null>((all, line) => add(all, value(line)), null);
  return {
    term: "sum",
    given: null,
    paid: sum((line) => line.paid),
    allGiven: null,
    allPaid: sum((line) => line.allPaid),
    gate: null,
  };
}

function total(steps: readonly Step[], value: (step: Step) => number | null): number | null {
  return steps.reduce<number | null>((all, step) => add(all, value(step)), null);
}

function add(all: number | null, one: number | null): number | null {
  return one === null ? all : (all ?? 0) + one;
}

function own(values: Record<string, number | null> | undefined, name: string): number | null {
  return values && Object.hasOwn(values, name) ? values[name]! : null;
}
