// What a run tells besides numbers: faults, alarms, damage, events, its configuration.

import "./record.css";
import { visible } from "../model/ansi";
import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect } from "preact/hooks";
import { printAddress } from "../model/address";
import { tally } from "../model/api";
import { count, counted, share, when } from "../model/format";
import { type Loaded, useLoaded } from "../model/load";
import { Quiet, Text } from "../parts/parts";
import type { Event, RunDetail, Tally } from "../model/types";

export function RecordPanel({ detail }: { detail: RunDetail }): JSX.Element {
  return (
    <div class="page scroll" tabIndex={0} role="region" aria-label="record of the run">
      {detail.broken.length > 0 && (
        <section>
          <h2>What cannot be read</h2>
          <ul class="plain links">
            {detail.broken.map((each) => (
              <li class="bad">
                <Text text={each} />
              </li>
            ))}
          </ul>
        </section>
      )}
      <Imported about={detail.info?.["imported"]} />
      <section>
        <h2>Faults</h2>
        {detail.faults.length === 0 && <Quiet>No episode ended by a fault.</Quiet>}
        <ul class="plain links">
          {detail.faults.map((each) => (
            <li>
              <a href={printAddress({ screen: "episode", run: detail.run, episode: each.id })}>
                {visible(each.id)}
              </a>{" "}
              <Text text={each.reason} />
            </li>
          ))}
        </ul>
      </section>
      <Tokens run={detail.run} step={detail.step} />
      <Events title="Alarms" events={detail.alarms} none="No alarm was raised." />
      <Events title="Events" events={detail.events} none="Nothing was told." />
      <section>
        <h2>Configuration</h2>
        {detail.config === null ? (
          <Quiet>It cannot be read.</Quiet>
        ) : (
          <pre class="source">
            <Text text={detail.config} />
          </pre>
        )}
      </section>
    </div>
  );
}

/** The file that a run was made of, and what it does not tell. */
function Imported({ about }: { about: unknown }): JSX.Element | null {
  if (typeof about !== "object" || about === null) return null;
  const { file, format, told } = about as Record<string, unknown>;
  return (
    <section>
      <h2>Imported</h2>
      <p>
        {visible(String(file))} <span class="quiet">{visible(String(format))}</span>
      </p>
      <ul class="plain">
        {Object.entries(Object(told)).map(([what, times]) => (
          <li>
            {visible(String(times))} {visible(what)}
          </li>
        ))}
      </ul>
    </section>
  );
}

/** Why a token carried gradient, or none. */
const CAUSES: Record<string, string> = {
  trained: "it had a weight in the loss",
  equal_returns: "all returns of its group are equal, so that its advantage is 0",
  zero_advantage: "its advantage is 0 for another reason",
  not_in_batch: "it stands in no segment that was trained on",
  clipped: "the loss cut its gradient: the ratio had left the bounds",
  dropped: "the correction for the engine's numbers gave it no weight",
  evaluation: "it was sampled to evaluate",
  fault: "its episode ended by a fault",
  fork: "its episode goes on from another one, and is not trained on",
  unused: "no optimiser step used its episode",
};

function Tokens({ run, step }: { run: string; step: number | null }): JSX.Element {
  const found = useTally(run, step);
  return (
    <section>
      <h2>Sampled tokens, by what became of them</h2>
      {found.error && <Quiet>{`They are not counted: ${found.error.message}`}</Quiet>}
      {found.value && found.value.tokens === 0 && <Quiet>No token was sampled.</Quiet>}
      {found.value && <Causes tally={found.value} />}
    </section>
  );
}

function Causes({ tally: found }: { tally: Tally }): JSX.Element {
  return (
    <table class="lines events">
      <tbody>
        {Object.entries(found.causes).map(([cause, tokens]) => (
          <tr>
            <th scope="row">{cause.replaceAll("_", " ")}</th>
            <td class="num">{count(tokens)}</td>
            <td class="num">{share(tokens / found.tokens)}</td>
            <td class="quiet wide">{CAUSES[cause] ?? ""}</td>
          </tr>
        ))}
        {found.steps.length < found.of_steps && (
          <tr>
            <td colSpan={4} class="quiet">
              {`${found.steps.length} of ${counted(found.of_steps, "optimiser step")} counted so far`}
            </td>
          </tr>
        )}
      </tbody>
    </table>
  );
}

/** The server counts some steps with each answer: asked until all are. */
function useTally(run: string, step: number | null): Loaded<Tally> {
  const asked = useSignal(0);
  const loaded = useLoaded(`${run} ${step} ${asked.value}`, () => tally(run), true).value;
  const steps = loaded.value?.steps.length ?? 0;
  useEffect(() => {
    if (steps > 0 && steps < loaded.value!.of_steps) asked.value++;
  }, [steps]);
  return loaded;
}

function Events({
  title,
  events,
  none,
}: {
  title: string;
  events: Event[];
  none: string;
}): JSX.Element {
  return (
    <section>
      <h2>{title}</h2>
      {events.length === 0 && <Quiet>{none}</Quiet>}
      <table class="lines events">
        <tbody>
          {[...events].reverse().map(({ kind, time, ...rest }) => (
            <tr>
              <td class="num quiet time">{when(typeof time === "string" ? time : null)}</td>
              <td>{visible(String(kind ?? ""))}</td>
              <td class="words">
                <Text text={told(rest)} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

function told(fields: Record<string, unknown>): string {
  return Object.entries(fields)
    .map(([key, value]) => `${key} ${typeof value === "string" ? value : JSON.stringify(value)}`)
    .join("  ");
}
