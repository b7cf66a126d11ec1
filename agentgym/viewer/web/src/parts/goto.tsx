// Goes to a place that a log or the terminal names, and names what is shown for them.

import { signal, useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { parseAddress } from "../model/address";
import { listRuns } from "../model/api";
import type { Key } from "../model/keys";
import { asApiError } from "../model/load";
import { type Named, parseNamed, printNamed, runOf } from "../model/named";
import { file } from "../model/shared";
import { copy, go, place, query, told, whole } from "../model/state";

const going = signal(false);

export function goToKeys(): Key[] {
  const named: Key = { keys: "a", what: "copy its address, for show and view", act: copyNamed };
  const to: Key = {
    keys: ":",
    what: "go to an address or an episode",
    act: () => (going.value = true),
  };
  return [...(place.value.screen === "episode" ? [named] : []), ...(file ? [] : [to])];
}

export function GoTo(): JSX.Element | null {
  const field = useRef<HTMLInputElement>(null);
  const wrong = useSignal("");
  useEffect(() => {
    wrong.value = "";
    field.current?.focus();
  }, [going.value]);
  if (!going.value) return null;
  const take = async (event: Event) => {
    event.preventDefault();
    wrong.value = await goTo(field.current!.value.trim());
    going.value = !!wrong.value;
  };
  return (
    <form class="go-to" onSubmit={(event) => void take(event)}>
      <input
        ref={field}
        aria-label="go to"
        placeholder="RUN#EPISODE/TURN, or an episode"
        spellcheck={false}
        size={36}
        onKeyDown={(event) => event.key === "Escape" && (going.value = false)}
      />
      {wrong.value && (
        <span class="bad" role="alert">
          {wrong.value}
        </span>
      )}
    </form>
  );
}

/** Goes to what is named; returns what is wrong, nothing if nothing is. */
async function goTo(text: string): Promise<string> {
  if (!text) return "";
  if (text.startsWith("/") || text.startsWith(`${location.origin}/`)) {
    const url = new URL(text, location.origin);
    const found = parseAddress(url.pathname, url.search);
    if (found.place.screen !== "nowhere") go(found.place, found.query);
    return found.place.screen === "nowhere" ? "nothing is at this address" : "";
  }
  const named = parseNamed(text);
  if (named) return goToNamed(named);
  const at = place.value;
  if (text.includes("#") || !("run" in at)) return "expected RUN#EPISODE/TURN/TOKEN";
  go({ screen: "episode", run: at.run, episode: text });
  return "";
}

async function goToNamed({ run, episode, turn, token }: Named): Promise<string> {
  try {
    const name = runOf(run, await listRuns());
    if (name === undefined) return `the run ${run} is not open here`;
    const words = { turn: turn ?? undefined, token: token ?? undefined };
    const view = token === null ? undefined : "tokens";
    const how = Object.entries(words).map(([key, value]) => [key, value?.toString()] as const);
    go({ screen: "episode", run: name, episode }, { view, ...Object.fromEntries(how) });
    return "";
  } catch (error) {
    return asApiError(error).message;
  }
}

function copyNamed(): void {
  void nameShown().then((text) => {
    if (text) void copy(text, "address copied");
  });
}

/** The address of the episode that is shown, with its turn and token. */
async function nameShown(): Promise<string> {
  const at = place.value;
  if (at.screen !== "episode") return "";
  const token = query.value["token"] === undefined ? null : whole("token");
  try {
    const runs = file ? [] : await listRuns();
    const run = runs.find((each) => each.run === at.run)?.path || at.run;
    return printNamed({ run, episode: at.episode, turn: whole("turn"), token });
  } catch (error) {
    told.value = asApiError(error).message;
    return "";
  }
}
