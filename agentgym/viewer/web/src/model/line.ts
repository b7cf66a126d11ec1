// The line in which questions stand: first what somebody waits for, then what stands beside it.

import { file } from "./shared";

/** What stands beside what one looks at, and takes a server time and memory; the quick ones first. */
const LATER: readonly string[] = ["members", "panels", "said", "ledger", "tags", "lens"];
const CALM_MS = 100;

interface Waiting {
  rank: number;
  begin: () => Promise<void>;
}

const waiting: Waiting[] = [];
let isMoving = false;
let reading = 0;
let lastRead = 0;
let giveUp: AbortSignal | undefined;

/** Asks what `ask` puts at once, such that it is given up, waiting or under way, by the signal. */
export function until<T>(signal: AbortSignal, ask: () => T): T {
  const before = giveUp;
  giveUp = signal;
  try {
    return ask();
  } finally {
    giveUp = before;
  }
}

/** Puts a question, at once or when it is its turn; `kind` is as a rule the last part of its address. */
export function put<T>(kind: string, ask: (signal?: AbortSignal) => Promise<T>): Promise<T> {
  const signal = giveUp;
  const rank = LATER.indexOf(kind);
  return rank < 0 ? now(() => ask(signal)) : later(rank, () => ask(signal), signal);
}

/** Waits until for a while nothing is asked that somebody waits for. */
export async function calm(): Promise<void> {
  while (!file && (reading > 0 || performance.now() < lastRead + CALM_MS)) {
    await rest(20);
  }
}

function rest(milliseconds: number): Promise<void> {
  return new Promise((rested) => setTimeout(rested, milliseconds));
}

async function now<T>(ask: () => Promise<T>): Promise<T> {
  reading++;
  try {
    return await ask();
  } finally {
    reading--;
    lastRead = performance.now();
  }
}

function later<T>(rank: number, ask: () => Promise<T>, signal?: AbortSignal): Promise<T> {
  return new Promise((answered, failed) => {
    const own: Waiting = { rank, begin: () => ask().then(answered, failed) };
    const leave = () => {
      if (waiting.includes(own)) waiting.splice(waiting.indexOf(own), 1);
      failed(signal?.reason);
    };
    if (signal?.aborted) return leave();
    signal?.addEventListener("abort", leave, { once: true });
    waiting.push(own);
    if (!isMoving) void move();
  });
}

/** One after another, each when it is calm. */
async function move(): Promise<void> {
  isMoving = true;
  while (waiting.length > 0) {
    await rest(0); // until all that a screen asks at once is asked
    await calm();
    await take()?.begin();
  }
  isMoving = false;
}

/** Takes the first of the lowest rank out of the line. */
function take(): Waiting | undefined {
  const least = Math.min(...waiting.map((each) => each.rank));
  const at = waiting.findIndex((each) => each.rank === least);
  return at < 0 ? undefined : waiting.splice(at, 1)[0];
}
