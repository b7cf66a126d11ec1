// The exact tokens of a segment, coloured by a column.

import { type Signal, useSignal } from "@preact/signals";
import { useCallback, useEffect, useMemo } from "preact/hooks";
import type { JSX } from "preact";
import { visible } from "./ansi";
import { ApiError, type Columns, columns, pieces } from "./api";
import { colourOf, type Scale } from "./colours";
import { number, piece } from "./format";
import { useJump } from "./jump";
import { Windowed } from "./list";
import { useLoaded } from "./load";
import { Pages } from "./pages";
import { Choice, Legend, Quiet, Wrong } from "./parts";
import { at, CAUSES, COLUMNS, hasMode, type Mode, modeScale, MODES, sampledStarts, type TokenRow, tokenRows, versionAt } from "./spans";
import { look, query, whole } from "./state";
import type { Episode, Step } from "./types";

const PAGE = 1024;

/** A token, and everything that is known of it. */
export interface Picked {
  place: number;
  id: number | null;
  text: string | null | undefined;
  step: Step | null;
  token: number | null;
  values: readonly (readonly [string, string])[];
}

interface Props {
  run: string;
  episode: Episode;
  turn: number;
  picked: Signal<Picked | null>;
}

export function Tokens({ run, episode, turn, picked }: Props): JSX.Element {
  const asked = whole("segment") ?? episode.steps[turn]?.segment ?? 0;
  const segment = Math.min(asked, Math.max(0, episode.segments.length - 1));
  const loaded = useLoaded(`${run}\n${episode.id}\n${segment}`, () => columns(run, episode.id, segment, COLUMNS)).value;
  if (episode.segments.length === 0) return <Quiet>No tokens were recorded of this episode.</Quiet>;
  if (loaded.error) return <Wrong error={loaded.error} />;
  if (!loaded.value) return <Quiet>Loading.</Quiet>;
  return <Segment key={segment} {...{ run, episode, turn, picked, segment }} found={loaded.value} />;
}

function Segment({ run, episode, turn, picked, segment, found }: Props & { segment: number; found: Columns }): JSX.Element {
  const rows = useMemo(() => tokenRows(episode.steps, segment, episode.segments[segment]!.length), [found]);
  const texts = useMemo(() => new Pages((first, size) => askPieces(run, episode.id, segment, first, size), PAGE), [found]);
  const mode = MODES.find((each) => each.name === query.value["colour"] && hasMode(found, each)) ?? defaultMode(found);
  const scale = useMemo(() => modeScale(found, mode, episode.steps, segment), [found, mode]);
  const jump = useJump(turn, (to) => Math.max(0, rows.findIndex((row) => row.step?.index === to)));
  const starts = useMemo(() => sampledStarts(episode.steps), [episode]);
  const token = whole("token");
  const chosen = token === null ? -1 : (episode.steps[turn]?.tokens?.[0] ?? -1) + token;
  const hover = useSignal("");
  void texts.came.value;
  const onSeen = useCallback((first: number, stop: number) => {
    if (rows.length) texts.want(rows[first]!.first, rows[Math.min(stop, rows.length) - 1]!.stop);
  }, [rows, texts]);
  useEffect(() => {
    const row = rows.find((each) => each.first <= chosen && chosen < each.stop);
    picked.value = row ? describe(found, row, chosen, starts, texts.at(chosen)) : null;
  }, [chosen, found, texts.came.value]);
  const pick = (event: MouseEvent) => {
    const place = placeOf(event);
    const row = rows.find((each) => place !== null && each.first <= place && place < each.stop);
    if (!row || place === null) return;
    if (row.step) look({ turn: String(row.step.index), token: String(place - row.step.tokens![0]) });
    else picked.value = describe(found, row, place, starts, texts.at(place));
  };
  const onHover = (event: MouseEvent) => {
    const place = placeOf(event);
    const row = place === null ? undefined : rows.find((each) => each.first <= place && place < each.stop);
    hover.value = row ? brief(found, mode, row, place!, starts) : "";
  };
  return (
    <>
      <div class="bar">
        <Choice label="colour" options={MODES.filter((each) => hasMode(found, each)).map((each) => each.name)} value={mode.name} choose={(next) => look({ colour: next })} />
        {mode.needs.length > 0 && <Legend scale={scale} what={mode.what} />}
        {episode.segments.length > 1 && <SegmentChoice episode={episode} segment={segment} />}
        <span class="quiet num hovered">{hover.value || mode.what}</span>
      </div>
      {texts.error.value && <Wrong error={texts.error.value} />}
      <div class="fill" onClick={pick} onMouseOver={onHover}>
        <Windowed count={rows.length} guess={80} of={`${episode.id} ${segment}`} label="tokens" jump={jump} onSeen={onSeen}
          render={(index) => <Row {...{ row: rows[index]!, found, mode, scale, starts, texts, chosen }} isHere={rows[index]!.step?.index === turn} />} />
      </div>
    </>
  );
}

interface RowProps {
  row: TokenRow;
  found: Columns;
  mode: Mode;
  scale: Scale;
  starts: readonly number[];
  texts: Pages<string | null>;
  chosen: number;
  isHere: boolean;
}

function Row({ row, found, mode, scale, starts, texts, chosen, isHere }: RowProps): JSX.Element {
  const tokens: JSX.Element[] = [];
  for (let place = row.first; place < row.stop; place++) {
    const value = row.step ? mode.value(found, place, sampledPlace(row.step, place, starts)) : null;
    const swap = row.step?.versions.some(([token]) => token > 0 && token === place - row.step!.tokens![0]);
    const style = `t ${colourOf(scale, value)} ${place === chosen ? "chosen" : ""} ${swap ? "swap" : ""}`;
    tokens.push(<span class={style} data-place={place}>{shown(texts.at(place), at(found["token_ids"], place), !!texts.error.value)}</span>);
  }
  return (
    <div class={`message tokens ${row.step ? "assistant" : "given"} ${row.head ? "head" : ""} ${isHere ? "here" : ""}`}>
      <div class="gutter">
        {row.head && row.step && <span class="turn num">{row.step.index}</span>}
        <span class="quiet num">{row.first}</span>
      </div>
      <pre class="said">{tokens}</pre>
    </div>
  );
}

function SegmentChoice({ episode, segment }: { episode: Episode; segment: number }): JSX.Element {
  return (
    <label>segment{" "}
      <select value={String(segment)} onChange={(event) => look({ segment: event.currentTarget.value, token: undefined })}>
        {episode.segments.map((each, index) => <option value={String(index)}>{`${index}: ${each.length} tokens, ${each.reason}`}</option>)}
      </select>
    </label>
  );
}

/** What is known of the token that was chosen. */
export function Inspector({ picked }: { picked: Signal<Picked | null> }): JSX.Element {
  const token = picked.value;
  if (!token) return <section><h2>Token</h2><Quiet>Choose a token to see its numbers.</Quiet></section>;
  return (
    <section aria-live="polite">
      <h2>Token <code>{token.text === null || token.text === undefined ? "" : JSON.stringify(visible(token.text))}</code></h2>
      <dl class="pairs">{token.values.map(([name, value]) => <><dt>{name}</dt><dd class="num">{value}</dd></>)}</dl>
    </section>
  );
}

function describe(found: Columns, row: TokenRow, place: number, starts: readonly number[], text: string | null | undefined): Picked {
  const id = at(found["token_ids"], place);
  const token = row.step ? place - row.step.tokens![0] : null;
  const values: [string, string][] = [["id", number(id)], ["place in the segment", number(place)]];
  if (row.step) values.push(...sampledValues(found, row.step, place, starts));
  else values.push(["sampled", "no: it was given"]);
  return { place, id, text, step: row.step, token, values };
}

function sampledValues(found: Columns, step: Step, place: number, starts: readonly number[]): [string, string][] {
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
    if (value !== null) values.push([mode.name, mode.name === "cause" ? (CAUSES[value] ?? String(value)) : number(value, 5)]);
  }
  return values;
}

function brief(found: Columns, mode: Mode, row: TokenRow, place: number, starts: readonly number[]): string {
  const where = row.step ? `turn ${row.step.index}, token ${place - row.step.tokens![0]}` : `token ${place}, given`;
  const value = row.step && mode.needs.length ? mode.value(found, place, sampledPlace(row.step, place, starts)) : null;
  if (value === null) return where;
  return `${where}: ${mode.name} ${mode.name === "cause" ? (CAUSES[value] ?? value) : number(value, 5)}`;
}

/** The number of a token among the sampled ones of the episode. */
function sampledPlace(step: Step, place: number, starts: readonly number[]): number {
  return starts[step.index]! + place - step.tokens![0];
}

function defaultMode(found: Columns): Mode {
  return ["advantage", "logprob"].map((name) => MODES.find((mode) => mode.name === name)!).find((mode) => hasMode(found, mode)) ?? MODES[0]!;
}

function placeOf(event: MouseEvent): number | null {
  const token = event.target instanceof Element ? event.target.closest<HTMLElement>("[data-place]") : null;
  return token ? Number(token.dataset["place"]) : null;
}

function shown(text: string | null | undefined, id: number | null, isFailed: boolean): string {
  if (text === undefined) return isFailed ? ` ${id ?? "?"}` : "·";
  if (text === null) return ` ${id ?? "?"}`;
  return visible(piece(text)) || "∅";
}

/** The texts of tokens; without a tokenizer an error that says why there are none. */
async function askPieces(run: string, episode: string, segment: number, first: number, size: number): Promise<{ total: number; rows: (string | null)[] }> {
  const found = await pieces(run, episode, segment, first, first + size);
  if (!found.pieces) throw new ApiError(`tokens are shown as numbers: ${found.why}`, found.hint ?? null, null, 0);
  return { total: found.of ?? 0, rows: found.pieces };
}
