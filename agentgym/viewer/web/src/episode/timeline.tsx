// The timeline of an episode: played, dragged or stepped through; under it the ledger of rewards.

import "./timeline.css";
import { type Signal, useSignal } from "@preact/signals";
import { useEffect, useMemo, useRef } from "preact/hooks";
import type { JSX } from "preact";
import { ForkButton } from "./fork";
import { colourOf, symmetric } from "../model/colours";
import { count, seconds } from "../model/format";
import { LedgerRows, Marks } from "./ledgerrows";
import { advance, SPEEDS, took } from "../model/playing";
import { strongest } from "../model/spans";
import { atTurn, look, lookAtTurn, pass, query, told, whole } from "../model/state";
import type { Episode, Ledger } from "../model/types";

const CELL = 18; // pixels of a turn, at least
const WIDEST = 44;
const LEAST = 16; // milliseconds between two pictures
const CALM = 400; // the same for those who asked for less motion: no three flashes in a second

interface Props {
  episode: Episode;
  turn: number;
  ledger: Ledger;
  playing: Signal<boolean>;
}

export function Timeline({ episode, turn, ledger, playing }: Props): JSX.Element {
  const box = useRef<HTMLElement>(null);
  const size = useSignal(40);
  const isOpen = query.value["ledger"] !== "shut";
  useEffect(() => {
    const measure = () => {
      const area = box.current?.querySelector(".ticks");
      if (area) size.value = Math.max(8, Math.floor(area.clientWidth / CELL));
    };
    const observer = new ResizeObserver(measure);
    observer.observe(box.current!);
    measure();
    return () => observer.disconnect();
  }, []);
  usePlaying(episode, playing);
  return (
    <section
      class={`timeline ${query.value["view"] === "steps" ? "open" : ""}`}
      aria-label="timeline"
      ref={box}
      style={sizes(episode.steps.length)}
    >
      <Player episode={episode} turn={turn} playing={playing} isOpen={isOpen} />
      <div class="turn-line">
        <span class="quiet">turn</span>
        <div class="ticks">
          <Track ledger={ledger} bins={size.value * 4} />
          <input
            type="range"
            aria-label="turn"
            min={0}
            max={Math.max(0, episode.steps.length - 1)}
            value={turn}
            onInput={(event) => pass(atTurn(event.currentTarget.valueAsNumber))}
          />
        </div>
        <span class="num quiet">paid</span>
      </div>
      {isOpen && <LedgerRows ledger={ledger} turn={turn} size={size.value} />}
    </section>
  );
}

/** As wide as all turns want to be; the slider begins and ends in the middle of a turn. */
function sizes(turns: number): Record<string, string> {
  return {
    "--most": `${Math.min(100_000, Math.max(1, turns) * WIDEST)}px`,
    "--half": `calc(${50 / Math.max(1, turns)}% - 3px)`,
  };
}

function Player({
  episode,
  turn,
  playing,
  isOpen,
}: Omit<Props, "ledger"> & { isOpen: boolean }): JSX.Element {
  const last = Math.max(0, episode.steps.length - 1);
  const to = (next: number) => lookAtTurn(Math.max(0, Math.min(last, next)));
  const isTimed = useMemo(() => episode.steps.some((step) => took(step) > 0), [episode]);
  return (
    <div class="bar player">
      <span class="buttons">
        <button type="button" aria-label="the first turn" onClick={() => to(0)}>
          ⇤
        </button>
        <button type="button" aria-label="the turn before" onClick={() => to(turn - 1)}>
          ‹
        </button>
        <button
          type="button"
          class="play"
          aria-pressed={playing.value}
          onClick={() => (playing.value = !playing.value)}
        >
          {playing.value ? "pause" : "play"}
        </button>
        <button type="button" aria-label="the next turn" onClick={() => to(turn + 1)}>
          ›
        </button>
        <button type="button" aria-label="the last turn" onClick={() => to(last)}>
          ⇥
        </button>
      </span>
      <span class="num">
        turn {count(turn)} of {count(episode.steps.length)}
      </span>
      <select
        aria-label="speed"
        value={String(speedNow())}
        onChange={(event) => look({ speed: event.currentTarget.value })}
      >
        {SPEEDS.map((speed) => (
          <option value={String(speed)}>{speed}×</option>
        ))}
      </select>
      {isTimed && (
        <label>
          <input
            type="checkbox"
            checked={!isReal()}
            onChange={(event) => look({ wait: event.currentTarget.checked ? undefined : "1" })}
          />{" "}
          skip waiting
        </label>
      )}
      {isTimed && (
        <span class="quiet num" title="since the start of the episode">
          {clock(episode, turn)}
        </span>
      )}
      <ForkButton turn={turn} />
      <button
        type="button"
        class="fold"
        aria-expanded={isOpen}
        onClick={() => look({ ledger: isOpen ? "shut" : undefined })}
      >
        ledger
      </button>
      {isOpen && <Marks />}
    </div>
  );
}

function clock(episode: Episode, turn: number): string {
  const step = episode.steps[turn];
  const at = (step?.timings["started_s"] ?? 0) + took(step);
  return `after ${seconds(at)}`;
}

function speedNow(): number {
  return SPEEDS.find((each) => String(each) === query.value["speed"]) ?? 1;
}

function isReal(): boolean {
  return query.value["wait"] === "1";
}

/** Goes on as time goes by, as long as it is played; the address tells how fast. */
function usePlaying(episode: Episode, playing: Signal<boolean>): void {
  const isOn = playing.value;
  useEffect(() => {
    if (!isOn) return;
    const { steps } = episode;
    if ((whole("turn") ?? -1) >= steps.length - 1) pass(atTurn(0));
    told.value = "playing; space stops";
    const least = matchMedia("(prefers-reduced-motion: reduce)").matches ? CALM : LEAST;
    let [then, left] = [performance.now(), 0];
    const tick = () => {
      const now = performance.now();
      const from = whole("turn") ?? -1;
      const next = advance(steps, from, left + now - then, speedNow(), isReal());
      [then, left] = [now, next.left];
      if (next.turn !== from) pass(atTurn(next.turn));
      if (next.turn >= steps.length - 1) playing.value = false;
    };
    const timer = setInterval(tick, least);
    return () => clearInterval(timer);
  }, [isOn, episode]);
}

/** What was paid in all of the episode; where turns are many, the most of each part. */
function Track({ ledger, bins }: { ledger: Ledger; bins: number }): JSX.Element {
  const parts = useMemo(
    () => strongest(ledger.rewards, Math.max(1, Math.min(bins, ledger.rewards.length))),
    [ledger, bins],
  );
  const scale = useMemo(() => symmetric(parts), [parts]);
  return (
    <div class="track" aria-hidden="true">
      {parts.map((value) => (
        <span class={colourOf(scale, value)} />
      ))}
    </div>
  );
}
