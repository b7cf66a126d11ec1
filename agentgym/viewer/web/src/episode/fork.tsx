// Another way on from a turn of an episode: by a checkpoint, by a script, or by hand.

import "./fork.css";
import { type Signal, useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import type { JSX } from "preact";
import { printAddress } from "../model/address";
import { type ApiError, forkOffer, runningForks, speakTo, startFork } from "../model/api";
import { counted } from "../model/format";
import { Children } from "../parts/forked";
import { ByHand } from "./forkhand";
import type { Key } from "../model/keys";
import { asApiError, useLoaded } from "../model/load";
import { Choice, Quiet, Text, Wrong } from "../parts/parts";
import { file } from "../model/shared";
import { look, query } from "../model/state";
import type { Episode, Fork, ForkOffer } from "../model/types";

const WAYS = ["samples", "message"] as const;
const NAMES = { samples: "samples", message: "by hand" } as const;
const LOOK_MS = 400;

/** The key of an episode that can be forked. */
export function forkKeys(): Key[] {
  return file ? [] : [{ keys: "f", what: "fork from this turn", act: toggle }];
}

function toggle(): void {
  look({ fork: query.value["fork"] ? undefined : "1" });
}

export function ForkButton({ turn }: { turn: number }): JSX.Element | null {
  if (file) return null;
  return (
    <button
      type="button"
      aria-expanded={!!query.value["fork"]}
      title="play on from this turn in another way (f)"
      onClick={toggle}
    >
      fork from turn {turn}
    </button>
  );
}

export function ForkPanel({
  run,
  episode,
  turn,
}: {
  run: string;
  episode: Episode;
  turn: number;
}): JSX.Element | null {
  const forks = useForks(run, episode.id);
  const used = useSignal(0); // tokens: each start takes one, and asks for another
  const offer = useLoaded(
    `${run}\n${episode.id}\n${used.value}`,
    () => forkOffer(run, episode.id),
    true,
  ).value;
  return (
    <section class="fork" aria-label="fork">
      <h2>
        Fork{" "}
        <span class="quiet">
          what was said before the turn stays, the turn and all behind it are played anew
        </span>
      </h2>
      {offer.error && <Wrong error={offer.error} />}
      {offer.value?.why_not && <Quiet>{offer.value.why_not}</Quiet>}
      {offer.value?.token && (
        <Asked run={run} offer={offer.value} turn={turn} used={used} forks={forks} />
      )}
      {forks.value.map((fork) => (
        <Told key={fork.fork} run={run} fork={fork} forks={forks} />
      ))}
    </section>
  );
}

interface Asking {
  run: string;
  offer: ForkOffer;
  turn: number;
  used: Signal<number>;
  forks: Signal<Fork[]>;
}

function Asked({ run, offer, turn, used, forks }: Asking): JSX.Element {
  const how = useSignal<(typeof WAYS)[number]>("samples");
  const samples = useSignal(4);
  const policy = useSignal<string | null>(null);
  const begins = useSignal<number | null>(null);
  const wrong = useSignal<ApiError | null>(null);
  const busy = useSignal(false);
  useEffect(() => void (begins.value = null), [turn]);
  const names = policies(offer);
  const at = begins.value ?? Math.min(turn, offer.last);
  const start = async (event: Event) => {
    event.preventDefault();
    busy.value = true;
    wrong.value = null;
    const many = { samples: samples.value, policy: policy.value ?? names[0]![0] };
    const { token, episode } = offer;
    const wish = { token, episode, turn: at, how: how.value };
    try {
      const fork = await startFork(run, how.value === "samples" ? { ...wish, ...many } : wish);
      forks.value = [...forks.value, fork];
    } catch (error) {
      wrong.value = asApiError(error);
    }
    busy.value = false;
    used.value++;
  };
  return (
    <form class="bar" onSubmit={(event) => void start(event)}>
      <label>
        from turn{" "}
        <input
          type="number"
          min={0}
          max={offer.last}
          value={at}
          onInput={(event) => (begins.value = event.currentTarget.valueAsNumber || 0)}
        />
      </label>
      <Choice
        label="who goes on"
        options={WAYS}
        value={how.value}
        names={NAMES}
        choose={(next) => (how.value = next)}
      />
      {how.value === "samples" && (
        <>
          <label>
            <input
              type="number"
              aria-label="samples"
              min={1}
              max={offer.most_samples}
              value={samples.value}
              onInput={(event) => (samples.value = event.currentTarget.valueAsNumber || 1)}
            />{" "}
            by
          </label>
          <select
            aria-label="policy"
            onChange={(event) => (policy.value = event.currentTarget.value)}
          >
            {names.map(([value, name]) => (
              <option value={value} selected={value === policy.value}>
                {name}
              </option>
            ))}
          </select>
        </>
      )}
      <button type="submit" disabled={busy.value}>
        {how.value === "samples" ? "play" : "begin"}
      </button>
      {wrong.value && <Wrong error={wrong.value} />}
    </form>
  );
}

/** [value, name] of who can go on; the newest checkpoint first. */
function policies(offer: ForkOffer): [string, string][] {
  const steps = [...offer.checkpoints].reverse();
  return [
    ...steps.map((step): [string, string] => [String(step), `checkpoint ${step}`]),
    ...offer.policies.map((name): [string, string] => [name, name]),
  ];
}

interface Telling {
  run: string;
  fork: Fork;
  forks: Signal<Fork[]>;
}

/** How far a fork is, and what came of it. */
function Told({ run, fork, forks }: Telling): JSX.Element {
  const wrong = useSignal<ApiError | null>(null);
  const speak = async (line: { say: string } | { leave: true }) => {
    wrong.value = null;
    try {
      const told = await speakTo(run, fork.fork, line);
      forks.value = forks.value.map((each) => (each.fork === told.fork ? told : each));
      return true;
    } catch (error) {
      wrong.value = asApiError(error);
      return false;
    }
  };
  const policy = /^\d+$/.test(fork.policy) ? `checkpoint ${fork.policy}` : fork.policy;
  const who = fork.how === "message" ? "by hand" : `by ${policy}`;
  return (
    <article class="told-fork">
      <div class="bar">
        <span>
          from turn {fork.turn} {who}
        </span>
        <span class={fork.status === "failed" ? "bad" : "quiet"} role="status">
          {fork.status}
          {fork.how === "samples" && `, ${fork.done} of ${counted(fork.of, "episode")}`}
        </span>
        <Children run={run} lines={fork.children} />
        {fork.group && fork.children.length > 1 && (
          <a href={printAddress({ screen: "group", run, group: fork.group })}>side by side</a>
        )}
        {fork.status === "running" && (
          <button type="button" onClick={() => void speak({ leave: true })}>
            {fork.how === "message" ? "leave" : "stop"}
          </button>
        )}
      </div>
      {fork.error && (
        <p class="bad">
          <Text text={fork.error} />
        </p>
      )}
      {fork.hint && (
        <p class="quiet">
          <Text text={fork.hint} />
        </p>
      )}
      {fork.how === "message" && fork.status === "running" && (
        <ByHand fork={fork} say={(text) => speak({ say: text })} />
      )}
      {wrong.value && <Wrong error={wrong.value} />}
    </article>
  );
}

/** The forks of an episode that this server started, looked at as long as one is running. */
function useForks(run: string, episode: string): Signal<Fork[]> {
  const forks = useSignal<Fork[]>([]);
  const isRunning = forks.value.some((each) => each.status === "running");
  useEffect(() => {
    let wanted = true;
    const ask = () =>
      runningForks(run).then(
        (found) => {
          if (wanted) forks.value = found.filter((each) => each.episode === episode);
        },
        () => undefined, // the head of the page says that the server does not answer
      );
    void ask();
    const clock = isRunning ? setInterval(() => void ask(), LOOK_MS) : undefined;
    return () => {
      wanted = false;
      clearInterval(clock);
    };
  }, [run, episode, isRunning]);
  return forks;
}
