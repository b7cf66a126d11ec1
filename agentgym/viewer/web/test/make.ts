import type { SaidStep } from "../src/model/types";

/** A step in which nothing happened, but for what is given. */
export function makeStep(given: Partial<SaidStep>): SaidStep {
  return {
    index: 0,
    message: { role: "assistant" },
    replies: [],
    state: null,
    action: null,
    next_state: null,
    reward_terms: {},
    shaped: {},
    gates: {},
    reward: null,
    advantage: null,
    timed_out: false,
    timings: {},
    usage: {},
    agent: null,
    finish: null,
    segment: null,
    tokens: null,
    versions: [],
    ...given,
  };
}
