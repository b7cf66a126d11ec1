// The rollouts of one group, side by side.

import type { JSX } from "preact";
import { printAddress } from "./address";
import { members } from "./api";
import { cell } from "./format";
import { useLoaded } from "./load";
import { Quiet, Wrong } from "./parts";

export function Group({ run, group }: { run: string; group: string }): JSX.Element {
  const loaded = useLoaded(`${run}\n${group}`, () => members(run, group)).value;
  if (loaded.error) return <Wrong error={loaded.error} />;
  return (
    <section class="page" aria-label="episodes of the group">
      <ul class="plain">
        {loaded.value?.map((each) => (
          <li>
            <span class="num">{cell(each.reward ?? each.outcome)}</span>{" "}
            <a href={printAddress({ screen: "episode", run, episode: each.id })}>{each.id}</a>{" "}
            <span class="quiet">{each.end}</span>
          </li>
        ))}
      </ul>
      <Quiet>The rollouts side by side are not shown yet.</Quiet>
    </section>
  );
}
