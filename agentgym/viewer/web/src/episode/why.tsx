// Why a token learnt or did not: the chain behind its weight.

import type { JSX } from "preact";
import { why } from "../model/api";
import { number } from "../model/format";
import { useLoaded } from "../model/load";
import { Quiet, Text } from "../parts/parts";

interface Props {
  run: string;
  episode: string;
  segment: number;
  place: number;
}

export function WhyPanel({ run, episode, segment, place }: Props): JSX.Element {
  const key = JSON.stringify([run, episode, segment, place]);
  const loaded = useLoaded(key, () => why(run, episode, segment, place), true).value;
  if (loaded.error)
    return <Quiet>{`Why it weighs that is not known: ${loaded.error.message}`}</Quiet>;
  if (!loaded.value) return <Quiet>Loading.</Quiet>;
  return (
    <ol class={`chain ${loaded.of === key ? "" : "old"}`} aria-busy={loaded.of !== key}>
      {loaded.value.chain.map((link) => (
        <li class={link.stops ? "stops" : ""}>
          <span>{link.what}</span>
          <span class="num">{link.value === null ? "" : number(link.value, 4)}</span>
          <span class="quiet">
            <Text text={link.note} />
          </span>
        </li>
      ))}
    </ol>
  );
}
