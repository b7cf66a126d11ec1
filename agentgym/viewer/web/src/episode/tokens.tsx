// The exact tokens of a segment, coloured by a column.

import "./tokens.css";
import { type Signal, useSignal } from "@preact/signals";
import { useCallback, useEffect, useMemo } from "preact/hooks";
import type { JSX } from "preact";
import { ApiError, type Column, type Columns, pieces } from "../model/api";
import { brief, describe, type Picked } from "./inspector";
import { useJump } from "../parts/jump";
import { type Credited, useTokenCredit } from "../model/credited";
import { useStamp, Windowed } from "../parts/list";
import { Minimap } from "./minimap";
import { Drawings } from "../model/drawings";
import { Pages } from "../model/pages";
import { useRecorded } from "../model/recorded";
import { Choice, Legend, Quiet, Wrong } from "../parts/parts";
import { hasMode, type Mode, MODES, sampledStarts, type TokenRow, tokenRows } from "../model/spans";
import { look, query, whole } from "../model/state";
import { truthWords, useTruths } from "../model/truth";
import type { Episode } from "../model/types";
import { isThere, Row, ROW, type RowState, rowState } from "./tokenrow";

const PAGE = 2048;

interface Props {
  run: string;
  episode: Episode;
  turn: number;
  picked: Signal<Picked | null>;
  credited: Credited;
}

export function Tokens(props: Props): JSX.Element {
  const { run, episode, turn } = props;
  const lens = useTokenCredit(run, episode);
  if (episode.segments.length === 0) return <Quiet>No tokens were recorded of this episode.</Quiet>;
  const asked = whole("segment") ?? episode.steps[turn]?.segment ?? 0;
  const segment = Math.min(asked, episode.segments.length - 1);
  return <Segment key={segment} {...{ ...props, segment, lens }} />;
}

interface SegmentProps extends Props {
  segment: number;
  lens: Column | null;
}

function Segment(props: SegmentProps): JSX.Element {
  const { run, episode, turn, segment } = props;
  const texts = useMemo(() => {
    const pages = new Pages(
      (first, size) => askPieces(run, episode.id, segment, first, size),
      PAGE,
    );
    const step = episode.steps[turn];
    const first = step?.segment === segment ? step.tokens![0] : 0;
    // About what a window holds, asked for while the columns are still to come.
    pages.want(first, Math.min(first + PAGE / 2, episode.segments[segment]!.length));
    return pages;
  }, [run, episode.id]);
  useEffect(() => () => texts.stop(), [texts]);
  const recorded = useRecorded(run, episode.id, segment, episode.segments[segment]!.length);
  if (recorded.error) return <Wrong error={recorded.error} />;
  if (!recorded.value) return <Quiet>Loading.</Quiet>;
  return <Listed {...{ ...props, texts }} recorded={recorded.value} />;
}

interface ListedProps extends SegmentProps {
  texts: Pages<string | null>;
  recorded: Columns;
}

function Listed(props: ListedProps): JSX.Element {
  const { run, episode, turn, picked, segment, credited, texts, recorded, lens } = props;
  const found = useMemo(() => withLens(recorded, credited, lens), [recorded, credited, lens]);
  const length = episode.segments[segment]!.length;
  const rows = useMemo(() => tokenRows(episode.steps, segment, length), [episode]);
  const truths = useTruths(run, episode.id, segment);
  void truths?.came.value;
  const mode =
    MODES.find((each) => each.name === query.value["colour"] && hasMode(found, each)) ??
    defaultMode(found);
  const drawn = useMemo(() => new Drawings(episode.steps, segment, length), [episode]);
  const { values, scale: own } = drawn.of(found, mode);
  useEffect(() => drawn.prepare(found), [drawn, found]);
  const scale = mode.name === "advantage" ? credited.scale : own;
  const what = mode.name === "advantage" ? `advantage by ${credited.label}` : mode.what;
  const starts = useMemo(() => sampledStarts(episode.steps), [episode]);
  const token = whole("token");
  const place = episode.steps[turn]?.tokens;
  const chosen = place && token !== null && token < place[1] - place[0] ? place[0] + token : -1;
  const jump = useJump(turn, (to) =>
    Math.max(
      0,
      rows.findIndex(chosen < 0 ? (row) => row.step?.index === to : (row) => chosen < row.stop),
    ),
  );
  const hover = useSignal("");
  void texts.came.value;
  const stamp = useStamp([
    ...[rows, found["token_ids"], found["sampled"], values, scale, texts, truths],
    ...[texts.error.value, truths?.came.value],
  ]);
  const stateOf = (index: number): RowState => {
    const row = rows[index]!;
    return {
      isHere: row.step?.index === turn,
      isThere: isThere(row, texts),
      chosen: row.first <= chosen && chosen < row.stop ? chosen : -1,
    };
  };
  const onSeen = useCallback(
    (first: number, stop: number) => {
      if (!rows.length) return;
      for (const pages of [texts, truths])
        pages?.want(rows[first]!.first, rows[Math.min(stop, rows.length) - 1]!.stop);
    },
    [rows, texts, truths],
  );
  const about = (row: TokenRow, place: number): Picked => {
    const told = describe(found, row, segment, place, starts, texts.at(place));
    const wrong = truthWords(found, row, place, truths);
    return wrong ? { ...told, values: [...told.values, ["truth", wrong]] } : told;
  };
  useEffect(() => {
    const row = rows.find((each) => each.first <= chosen && chosen < each.stop);
    picked.value = row ? about(row, chosen) : null;
    document.querySelector(".t.chosen")?.scrollIntoView({ block: "nearest" });
  }, [chosen, found, texts.came.value, truths?.came.value]);
  const pick = (event: MouseEvent) => {
    const place = placeOf(event);
    const row = rows.find((each) => place !== null && each.first <= place && place < each.stop);
    if (!row || place === null) return;
    if (row.step)
      look({ turn: String(row.step.index), token: String(place - row.step.tokens![0]) });
    else picked.value = about(row, place);
  };
  const goTo = (place: number) =>
    (jump.value = { index: rows.findIndex((row) => place < row.stop) });
  const onHover = (event: MouseEvent) => {
    const place = placeOf(event);
    const row =
      place === null ? undefined : rows.find((each) => each.first <= place && place < each.stop);
    hover.value = row
      ? [brief(found, mode, row, place!, starts), truthWords(found, row, place!, truths)]
          .filter(Boolean)
          .join("; ")
      : "";
  };
  return (
    <>
      <div class="bar">
        <Choice
          label="colour"
          options={MODES.filter((each) => hasMode(found, each)).map((each) => each.name)}
          value={mode.name}
          choose={(next) => look({ colour: next })}
        />
        {mode.needs.length > 0 && <Legend scale={scale} what={what} />}
        {episode.segments.length > 1 && <SegmentChoice episode={episode} segment={segment} />}
        <button
          type="button"
          aria-pressed={!!truths}
          title="mark tokens that their own text would not give again"
          onClick={() => look({ truth: truths ? undefined : "1" })}
        >
          truth
        </button>
        <Hovered line={hover} otherwise={what} />
      </div>
      {texts.error.value && <Wrong error={texts.error.value} />}
      {truths?.error.value && <Wrong error={truths.error.value} />}
      <div class="mapped" onClick={pick} onMouseOver={onHover}>
        <Windowed
          count={rows.length}
          guess={ROW}
          of={`${episode.id} ${segment}`}
          label="tokens"
          jump={jump}
          onSeen={onSeen}
          drawnOf={(index) => `${stamp} ${rowState(stateOf(index))}`}
          render={(index) => (
            <Row
              {...{ row: rows[index]!, found, values, scale, texts, truths }}
              {...stateOf(index)}
            />
          )}
        />
        {mode.needs.length > 0 && <Minimap values={values} scale={scale} go={goTo} />}
      </div>
    </>
  );
}

/** By itself, so that a pointer that moves draws nothing else anew. */
function Hovered({ line, otherwise }: { line: Signal<string>; otherwise: string }): JSX.Element {
  return <span class="quiet num">{line.value || otherwise}</span>;
}

function SegmentChoice({ episode, segment }: { episode: Episode; segment: number }): JSX.Element {
  return (
    <label>
      segment{" "}
      <select
        value={String(segment)}
        onChange={(event) => look({ segment: event.currentTarget.value, token: undefined })}
      >
        {episode.segments.map((each, index) => (
          <option value={String(index)}>{`${index}: ${each.length} tokens, ${each.reason}`}</option>
        ))}
      </select>
    </label>
  );
}

/** The columns, with the advantages of the estimator that is asked for in the place of the record's. */
function withLens(recorded: Columns, credited: Credited, lens: Column | null): Columns {
  if (lens) return { ...recorded, advantage: lens };
  if (!credited.isAsked) return recorded;
  const { advantage: _, ...rest } = recorded;
  return rest;
}

function defaultMode(found: Columns): Mode {
  return (
    ["advantage", "logprob"]
      .map((name) => MODES.find((mode) => mode.name === name)!)
      .find((mode) => hasMode(found, mode)) ?? MODES[0]!
  );
}

function placeOf(event: MouseEvent): number | null {
  const token =
    event.target instanceof Element ? event.target.closest<HTMLElement>("[data-place]") : null;
  return token ? Number(token.dataset["place"]) : null;
}

/** The texts of tokens; without a tokenizer an error that says why there are none. */
async function askPieces(
  run: string,
  episode: string,
  segment: number,
  first: number,
  size: number,
): Promise<{ total: number; rows: (string | null)[] }> {
  const found = await pieces(run, episode, segment, first, first + size);
  if (!found.pieces)
    throw new ApiError(`tokens are shown as numbers: ${found.why}`, found.hint ?? null, null, 0);
  return { total: found.of ?? 0, rows: found.pieces };
}
