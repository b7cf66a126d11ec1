// What a run tells besides numbers: faults, alarms, damage, events, its configuration.

import type { JSX } from "preact";
import { printAddress } from "./address";
import { tally } from "./api";
import { count, share, when } from "./format";
import { useLoaded } from "./load";
import { Quiet, Text } from "./parts";
import type { Event, RunDetail } from "./types";

export function RecordPanel({ detail }: { detail: RunDetail }): JSX.Element {
  return (
    <div class="page scroll" tabIndex={0} aria-label="record of the run">
      {detail.broken.length > 0 && (
        <section>
          <h2>What cannot be read</h2>
          <ul class="plain">
            {detail.broken.map((each) => (
              <li class="bad">
                <Text text={each} />
              </li>
            ))}
          </ul>
        </section>
      )}
      <section>
        <h2>Faults</h2>
        {detail.faults.length === 0 && <Quiet>No episode ended by a fault.</Quiet>}
        <ul class="plain">
          {detail.faults.map((each) => (
            <li>
              <a href={printAddress({ screen: "episode", run: detail.run, episode: each.id })}>
                {each.id}
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

function Tokens({ run, step }: { run: string; step: number | null }): JSX.Element {
  const loaded = useLoaded(`${run} ${step}`, () => tally(run), true).value;
  const found = loaded.value;
  return (
    <section>
      <h2>Sampled tokens, by what became of them</h2>
      {loaded.error && <Quiet>{`They are not counted: ${loaded.error.message}`}</Quiet>}
      {found && (
        <table class="lines events">
          <tbody>
            {Object.entries(found.causes).map(([cause, tokens]) => (
              <tr>
                <th scope="row">{cause.replaceAll("_", " ")}</th>
                <td class="num">{count(tokens)}</td>
                <td class="num">{share(tokens / found.tokens)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </section>
  );
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
              <td class="num quiet">{when(typeof time === "string" ? time : null)}</td>
              <td>{String(kind ?? "")}</td>
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
