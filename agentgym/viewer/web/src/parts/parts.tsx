// Small pieces that several screens are made of.

import "./parts.css";
import "./values.css";
import type { ComponentChildren, JSX } from "preact";
import { parseAnsi } from "../model/ansi";
import type { ApiError } from "../model/api";
import { type Scale, colourOf, legend } from "../model/colours";
import type { Match } from "../model/find";
import { number, signed } from "../model/format";

/** Text of a model or a program: colours of terminals, everything else as it is; matches marked. */
export function Text({
  text,
  matches = [],
  current,
}: {
  text: string;
  matches?: readonly Match[];
  current?: Match | null;
}): JSX.Element {
  const parts: JSX.Element[] = [];
  let at = 0;
  for (const span of parseAnsi(text)) {
    for (const [start, stop, match] of cuts(at, at + span.text.length, matches)) {
      const inner = span.text.slice(start - at, stop - at);
      const style = [span.style, match && "match", match && match === current && "current"]
        .filter(Boolean)
        .join(" ");
      parts.push(match ? <mark class={style}>{inner}</mark> : <span class={style}>{inner}</span>);
    }
    at += span.text.length;
  }
  return <>{parts}</>;
}

/** The parts of [from, to) that are in a match, and those between. */
function* cuts(
  from: number,
  to: number,
  matches: readonly Match[],
): Generator<[number, number, Match | null]> {
  let at = from;
  for (const match of matches) {
    const start = Math.max(at, match.start);
    const stop = Math.min(to, match.stop);
    if (start >= stop) continue;
    if (start > at) yield [at, start, null];
    yield [start, stop, match];
    at = stop;
  }
  if (at < to) yield [at, to, null];
}

/** An error, where in a filter it is, and what to do about it. */
export function Wrong({ error, filter }: { error: ApiError; filter?: string }): JSX.Element {
  const at = error.at;
  return (
    <div class="wrong" role="alert">
      <p>{error.message}</p>
      {filter !== undefined && at !== null && (
        <pre>
          {filter.slice(0, at)}
          <mark>{filter.slice(at, at + 12) || " "}</mark>
          {filter.slice(at + 12)}
        </pre>
      )}
      {error.hint && <p class="quiet">{error.hint}</p>}
    </div>
  );
}

/** One of the facts at the head of a screen, in a `dl`. */
export function Fact({
  name,
  style,
  children,
}: {
  name: string;
  style?: string;
  children: ComponentChildren;
}): JSX.Element {
  return (
    <div>
      <dt>{name}</dt>
      <dd class={style}>{children}</dd>
    </div>
  );
}

export function Quiet({ children }: { children: string }): JSX.Element {
  return <p class="quiet pad">{children}</p>;
}

/** A number on its colour. */
export function Shade({
  value,
  scale,
  what,
}: {
  value: number | null;
  scale: Scale;
  what: string;
}): JSX.Element {
  return (
    <span class={`shade ${colourOf(scale, value)}`} title={`${what} ${number(value, 6)}`}>
      {signed(value)}
    </span>
  );
}

/** What the colours mean, in numbers. */
export function Legend({ scale, what }: { scale: Scale; what: string }): JSX.Element {
  if (scale.kind === "diverging" && scale.most === 0) {
    return <span class="legend">all 0</span>;
  }
  const names = scale.kind === "classes" ? scale.names : null;
  const steps = legend(scale);
  return (
    <span class="legend" aria-label={`colours: ${what}`}>
      {!names && (
        <span>
          {number(
            scale.kind === "diverging" ? -scale.most : scale.kind === "sequential" ? scale.low : 0,
          )}
        </span>
      )}
      {steps.map(({ colour, value }) => (
        <span class={`swatch ${colour}`} title={names ? names[value]! : number(value)}>
          {names ? names[value] : ""}
        </span>
      ))}
      {!names && (
        <span>
          {number(
            scale.kind === "diverging" ? scale.most : scale.kind === "sequential" ? scale.high : 0,
          )}
        </span>
      )}
    </span>
  );
}

/** Buttons of which one is chosen. */
export function Choice<T extends string>({
  label,
  options,
  value,
  choose,
  names,
}: {
  label: string;
  options: readonly T[];
  value: T;
  choose: (next: T) => void;
  names?: Partial<Record<T, string>>;
}): JSX.Element {
  return (
    <span class="choice" role="group" aria-label={label}>
      {options.map((each) => (
        <button type="button" aria-pressed={each === value} onClick={() => choose(each)}>
          {names?.[each] ?? each}
        </button>
      ))}
    </span>
  );
}
