// The steps of an episode, one line each: who sampled it, what it earned, what it was credited.

import "./ribbon.css";
import { useEffect, useMemo } from "preact/hooks";
import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { symmetric } from "../model/colours";
import type { Credited } from "../model/credited";
import { count, number } from "../model/format";
import { type Jump, useStamp, Windowed } from "../parts/list";
import { Shade } from "../parts/parts";
import { lookAtTurn, query } from "../model/state";
import type { Episode, Step } from "../model/types";

const ROW = 22;

export function Ribbon({
  episode,
  turn,
  credited,
}: {
  episode: Episode;
  turn: number;
  credited: Credited;
}): JSX.Element {
  const { steps, update } = episode;
  const jump = useSignal<Jump | null>(null);
  const rewards = useMemo(() => symmetric(steps.map(earned)), [episode]);
  useEffect(() => {
    if (query.peek()["turn"] !== undefined) jump.value = { index: Math.max(0, turn - 4) };
  }, [turn]);
  const stamp = useStamp([episode, credited]);
  const render = (index: number) => {
    const step = steps[index]!;
    return (
      <div class={`step-row ${index === turn ? "here" : ""}`}>
        <span role="cell">
          <button
            type="button"
            class="num"
            aria-current={index === turn ? "step" : undefined}
            onClick={() => lookAtTurn(index)}
          >
            {index}
          </button>
        </span>
        <span role="cell" class="num">
          {step.tokens ? count(step.tokens[1] - step.tokens[0]) : "–"}
        </span>
        <span
          role="cell"
          class={`num ${step.versions.length > 1 ? "swap" : ""}`}
          title={versionTitle(step, update?.version ?? null) + apart(episode.ribbon?.[index])}
        >
          {versions(step)}
        </span>
        <span role="cell" class="num">
          {lag(step, update?.version ?? null)}
        </span>
        <span role="cell" class="num">
          <Shade value={earned(step)} scale={rewards} what="reward" />
        </span>
        <span role="cell" class="num">
          <Shade
            value={credited.at(index)}
            scale={credited.scale}
            what={`${credited.label} gives`}
          />
        </span>
      </div>
    );
  };
  return (
    <section class="ribbon" role="table" aria-label="steps" aria-rowcount={steps.length + 1}>
      <div role="rowgroup">
        <div class="step-row head" role="row">
          {["turn", "tokens", "version", "lag", "reward", "advantage"].map((name) => (
            <span role="columnheader" class="num">
              {name}
            </span>
          ))}
        </div>
      </div>
      <Windowed
        count={steps.length}
        guess={ROW}
        fixed
        of={episode.id}
        label="rows"
        roles="rows"
        jump={jump}
        drawnOf={(index) => `${stamp} ${index === turn}`}
        render={render}
      />
    </section>
  );
}

/** The reward that was trained on, or what the environment gave; null: it gave none. */
function earned(step: Step): number | null {
  const terms = Object.values(step.reward_terms);
  return step.reward ?? (terms.length ? terms.reduce((sum, each) => sum + each, 0) : null);
}

function versions(step: Step): string {
  return step.versions.map(([, version]) => version).join("→") || "–";
}

function lag(step: Step, trained: number | null): string {
  return trained === null || step.versions.length === 0
    ? "–"
    : String(trained - Math.min(...step.versions.map(([, version]) => version)));
}

function apart(told: { ratio: number | null; kl: number | null } | undefined): string {
  return told && told.ratio !== null
    ? `; mean ratio ${number(told.ratio, 4)}, KL ${number(told.kl, 3)}`
    : "";
}

function versionTitle(step: Step, trained: number | null): string {
  const sampled = step.versions
    .map(([token, version]) =>
      token ? `${version} from token ${token}` : `sampled by version ${version}`,
    )
    .join(", ");
  return trained === null ? sampled : `${sampled}; version ${trained} was trained on it`;
}
