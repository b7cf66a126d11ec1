// The reward ledger as the server tells it: what each term came to, turn by turn.

import type { Ledger, LedgerTerm, Step } from "./types";

/** What a cell of the ledger shows, besides its colour. */
export const GLYPHS: Readonly<Record<string, string>> = {
  "not reached": "·",
  open: "○",
  blocked: "×",
  counted: "●",
  clipped: "◐",
  unused: "–",
};

export const MEANINGS: Readonly<Record<string, string>> = {
  "not reached": "none of it was earned so far",
  open: "some was earned, and may still be paid",
  blocked: "a gate is closed",
  counted: "it is paid here",
  clipped: "a part of it is paid here",
  unused: "the rewards do not look at it",
};

/** A ledger of what was given, where nobody knows what was paid: that is NaN. */
export function givenLedger(steps: readonly Step[]): Ledger {
  const names = new Set(steps.flatMap((step) => Object.keys(step.reward_terms)));
  const none = steps.map(() => NaN);
  const terms = [...names].map((term) => {
    const raw = steps.map((step) => own(step.reward_terms, term) ?? 0);
    const states = steps.map(() => "unused");
    const row = {
      term,
      weight: null,
      scope: null,
      form: null,
      raw,
      paid: none,
      states,
      total: NaN,
    };
    return { ...row, blocked_by: [] };
  });
  return { terms, gates: [], rewards: none, total: NaN, recorded: null };
}

/** A ledger without rows, until it is there. */
export function noLedger(steps: readonly Step[]): Ledger {
  return { terms: [], gates: [], rewards: steps.map(() => NaN), total: NaN, recorded: null };
}

/** What a cell says when it is asked. */
export function cellWords(row: LedgerTerm, turn: number, gates: Ledger["gates"]): string {
  const state = row.states[turn] ?? "not reached";
  const shut = gates
    .filter((gate) => gate.term === row.term && gate.share[turn] === 0)
    .map((gate) => gate.condition);
  const given = row.form === "potential" ? "potential" : "given";
  const why = state === "blocked" && shut.length ? `: not ${shut.join(", not ")}` : "";
  return `turn ${turn}, ${row.term}: ${state}${why}; ${given} ${show(row.raw[turn])}, paid ${show(row.paid[turn])}`;
}

export function sum(values: readonly number[]): number {
  return values.reduce((all, each) => all + each, 0);
}

function show(value: number | undefined): string {
  return value === undefined || Number.isNaN(value) ? "–" : String(Number(value.toPrecision(4)));
}

function own(values: Record<string, number>, name: string): number | null {
  return Object.hasOwn(values, name) ? values[name]! : null;
}
