// What is around every screen: where one is, the theme, the list of keys.

import "./shell.css";
import { visible } from "./model/ansi";
import { useEffect } from "preact/hooks";
import type { JSX } from "preact";
import type { Place } from "./model/address";
import { printAddress } from "./model/address";
import { Compare } from "./compare/compare";
import { EpisodeScreen } from "./episode/episode";
import { Group } from "./group/group";
import { GoTo, goToKeys } from "./parts/goto";
import { keysNow, shellKeys } from "./model/keys";
import { Choice, Quiet } from "./parts/parts";
import { RunScreen } from "./run/run";
import { Runs } from "./run/runs";
import { file } from "./model/shared";
import { connected, helping, isGone, place, setTheme, theme, THEMES, told } from "./model/state";

export function Shell(): JSX.Element {
  const names = trail(place.value);
  useEffect(() => void (shellKeys.value = goToKeys()), [place.value.screen]);
  useEffect(() => {
    document.title = [
      ...names
        .map(([name]) => name)
        .slice(file ? 0 : 1)
        .reverse(),
      "agentgym",
    ].join(" · ");
  });
  return (
    <>
      <header class="top">
        <nav aria-label="where this is">
          {names.map(([name, to], at) => (
            <>
              {at > 0 && <span class="quiet"> / </span>}
              {to && at < names.length - 1 ? (
                <a href={printAddress(to)}>{visible(name)}</a>
              ) : (
                <h1 aria-current="page">{visible(name)}</h1>
              )}
            </>
          ))}
        </nav>
        <GoTo />
        <span class="told" role="status">
          {told.value || trouble()}
        </span>
        <Choice label="theme" options={THEMES} value={theme.value} choose={setTheme} />
        <button
          type="button"
          aria-label="keys"
          title="keys (?)"
          onClick={() => (helping.value = !helping.value)}
        >
          ?
        </button>
      </header>
      <main>{screen(place.value)}</main>
      {helping.value && <Help />}
    </>
  );
}

/** What is wrong with all of a page. */
function trouble(): string {
  if (!connected.value) return "the server does not answer";
  return isGone.value ? "this run is not there any more" : "";
}

function screen(at: Place): JSX.Element {
  if (file && at.screen !== "group" && at.screen !== "episode")
    return <Quiet>This file has no such page.</Quiet>;
  switch (at.screen) {
    case "runs":
      return <Runs />;
    case "run":
      return <RunScreen key={at.run} run={at.run} />;
    case "group":
      return <Group key={printAddress(at)} run={at.run} group={at.group} />;
    case "episode":
      return <EpisodeScreen key={printAddress(at)} run={at.run} id={at.episode} />;
    case "compare":
      return <Compare a={at.a} b={at.b} />;
    default:
      return <Quiet>Nothing is at this address.</Quiet>;
  }
}

function trail(at: Place): [string, Place | null][] {
  const start: [string, Place | null][] = file ? [] : [["runs", { screen: "runs" }]];
  if (at.screen === "compare") return [...start, [`${at.a} and ${at.b}`, null]];
  if (at.screen === "runs" || at.screen === "nowhere") return start;
  const run: [string, Place | null] = [at.run, file ? null : { screen: "run", run: at.run }];
  if (at.screen === "run") return [...start, run];
  return [...start, run, [at.screen === "group" ? at.group : at.episode, null]];
}

function Help(): JSX.Element {
  return (
    <aside class="help raised" aria-label="keys" tabIndex={0}>
      <h2>Keys</h2>
      <dl>
        {keysNow().map((key) => (
          <>
            <dt>
              {key.keys.split(" ").map((each) => (
                <kbd>{each}</kbd>
              ))}
            </dt>
            <dd>{key.what}</dd>
          </>
        ))}
      </dl>
    </aside>
  );
}
