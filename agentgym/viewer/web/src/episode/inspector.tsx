// One token, and every number that is known of it.

import "./inspector.css";
import type { Signal } from "@preact/signals";
import type { JSX } from "preact";
import { visible } from "../model/ansi";
import type { Columns } from "../model/api";
import { number } from "../model/format";
import { Quiet } from "../parts/parts";
import {
  at,
  CAUSES,
  type Mode,
  MODES,
  sampledPlace,
  type TokenRow,
  versionAt,
} from "../model/spans";
import type { Step } from "../model/types";
import { WhyPanel } from "./why";

/** A token, and everything that is known of it. */
export interface Picked {
  segment: number;
  place: number;
  id: number | null;
  text: string | null | undefined;
  values: readonly (readonly [string, string])[];
}

interface Props {
  run: string;
  episode: string;
  picked: Signal<Picked | null>;
}

/** What is known of the token that was chosen. */
export function Inspector({ run, episode, picked }: Props): JSX.Element {
  const token = picked.value;
  if (!token)
    return (
      <section class="inspector">
        <h2>Token</h2>
        <Quiet>Choose a token to see its numbers.</Quiet>
      </section>
    );
  return (
    <section class="inspector" aria-live="polite">
      <h2>
        Token{" "}
        <code>
          {token.text === null || token.text === undefined
            ? ""
            : JSON.stringify(visible(token.text))}
        </code>
      </h2>
      <WhyPanel run={run} episode={episode} segment={token.segment} place={token.place} />
      <dl class="pairs">
        {token.values.map(([name, value]) => (
          <>
            <dt>{name}</dt>
            <dd class="num">{value}</dd>
          </>
        ))}
      </dl>
    </section>
  );
}

/** Gathers what is known of a token; `text` is undefined until it came. */
export function describe(
  found: Columns,
  row: TokenRow,
  segment: number,
  place: number,
  starts: readonly number[],
  text: string | null | undefined,
): Picked {
  const id = at(found["token_ids"], place);
  const values: [string, string][] = [
    ["id", number(id)],
    ["place in the segment", number(place)],
  ];
  if (row.step) values.push(...sampledValues(found, row.step, place, starts));
  else values.push(["sampled", "no: it was given"]);
  return { segment, place, id, text, values };
}

function sampledValues(
  found: Columns,
  step: Step,
  place: number,
  starts: readonly number[],
): [string, string][] {
  const token = place - step.tokens![0];
  const sampled = sampledPlace(step, place, starts);
  const logprob = at(found["logprobs"], place);
  const values: [string, string][] = [
    ["turn, token of it", `${step.index}, ${token}`],
    ["policy version", number(versionAt(step, token))],
    ["probability", logprob === null ? "–" : number(Math.exp(logprob), 4)],
  ];
  for (const mode of MODES) {
    const value = mode.needs.length ? mode.value(found, place, sampled) : null;
    if (value !== null)
      values.push([
        mode.name,
        mode.name === "cause" ? (CAUSES[value] ?? String(value)) : number(value, 5),
      ]);
  }
  return values;
}

/** A line for the token under the pointer. */
export function brief(
  found: Columns,
  mode: Mode,
  row: TokenRow,
  place: number,
  starts: readonly number[],
): string {
  const where = row.step
    ? `turn ${row.step.index}, token ${place - row.step.tokens![0]}`
    : `token ${place}, given`;
  const value =
    row.step && mode.needs.length
      ? mode.value(found, place, sampledPlace(row.step, place, starts))
      : null;
  if (value === null) return where;
  return `${where}: ${mode.name} ${mode.name === "cause" ? (CAUSES[value] ?? value) : number(value, 5)}`;
}
