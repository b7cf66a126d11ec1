// Runs in the page that `agentgym bench view` measures: tells when what was asked for is painted.
// A frame counts as painted when the browser gets to the next task after it.

"use strict";

const bench = (globalThis.bench = { first: null });

const visibleItems = (list) => {
  if (!list) return [];
  const box = list.getBoundingClientRect();
  return [...list.querySelectorAll(".item")].filter((item) => {
    const { top, bottom } = item.getBoundingClientRect();
    return bottom > box.top && top < box.bottom;
  });
};

const isFull = (list, isThere) => {
  const items = visibleItems(list);
  if (items.length === 0 || !items.every(isThere)) return false;
  const { bottom } = items.at(-1).getBoundingClientRect();
  const rest = list.scrollHeight - list.scrollTop - list.clientHeight;
  return bottom >= list.getBoundingClientRect().bottom - 1 || rest < 2;
};

const listed = () => document.querySelector(".episodes .windowed");
const shown = () => document.querySelector('.windowed[aria-label="messages"], .windowed[aria-label="tokens"]');

// What has to be in the window, and as a whole: nothing that is still to come stands in for it.
const CONTENTS = {
  text: () => (document.body?.textContent ?? "") !== "",
  list: () => isFull(listed(), (item) => item.querySelector("a") !== null),
  messages: () => isFull(shown(), (item) => item.querySelector("pre") !== null),
  tokens: () => isFull(shown(), (item) => item.querySelector(".t") && !item.textContent.includes("·")),
};

const isAt = (turn) =>
  visibleItems(shown()).some((item) => item.querySelector(".turn")?.textContent === String(turn));

const LONGEST_MS = 30_000;

const whenPainted = (isThere) =>
  new Promise((done, fail) => {
    const channel = new MessageChannel();
    channel.port1.onmessage = () => done(performance.now());
    const began = performance.now();
    const look = () => {
      if (isThere()) channel.port2.postMessage(0);
      else if (performance.now() < began + LONGEST_MS) requestAnimationFrame(look);
      else fail(new Error(`not painted: ${isThere} of ${location.href}`));
    };
    requestAnimationFrame(look);
  });

const took = async (act, isThere) => {
  await new Promise((rested) => setTimeout(rested, 50));
  const began = performance.now();
  act();
  return (await whenPainted(isThere)) - began;
};

const each = async (values, measure) => {
  const times = [];
  for (const value of values) times.push(await measure(value));
  return times;
};

// From the beginning of a navigation.
bench.awaitFirst = (content) => {
  bench.first = whenPainted(CONTENTS[content]);
};

bench.frames = (count) => each(Array(count).fill(0), () => took(() => {}, () => true));

// Shares of the list, from 0 to 1.
bench.scrollTo = (places) =>
  each(places, (place) => {
    const list = listed();
    const top = Math.floor(place * (list.scrollHeight - list.clientHeight));
    return took(() => (list.scrollTop = top), () => Math.abs(list.scrollTop - top) < 2 && CONTENTS.list());
  });

// As links and the button back do: by the address.
bench.turnTo = ([content, turns]) =>
  each(turns, (turn) =>
    took(() => {
      const address = new URL(location.href);
      address.searchParams.set("turn", turn);
      history.replaceState(null, "", address);
      dispatchEvent(new PopStateEvent("popstate"));
    }, () => isAt(turn) && CONTENTS[content]()),
  );

bench.recolour = (count) =>
  each([...Array(count).keys()], (number) => {
    const buttons = [...document.querySelectorAll('[aria-label="colour"] button')];
    const button = buttons[number % buttons.length];
    return took(() => button.click(), () => button.ariaPressed === "true" && CONTENTS.tokens());
  });
