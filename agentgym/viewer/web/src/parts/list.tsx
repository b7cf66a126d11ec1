// A long list of which only what is seen is in the page. Its items may have any height.

import "./list.css";
import { type Signal, useSignal } from "@preact/signals";
import type { ComponentChildren, JSX } from "preact";
import { useEffect, useLayoutEffect, useMemo, useRef } from "preact/hooks";
import { printing } from "../model/state";
import { type Anchor, anchorAt, Heights, windowOf } from "../model/virtual";

/** Items of a list that go on paper as a whole. */
const PRINTED = 5000;

/** Ask for an item to be brought to the upper edge; a new object asks again. */
export interface Jump {
  index: number;
}

interface Props {
  count: number;
  /** The height of an item that was not measured yet; of every item, if `fixed`. */
  guess: number;
  fixed?: boolean;
  /** What the list is of: another one begins at its top. */
  of: string;
  label: string;
  render: (index: number) => ComponentChildren;
  /** What an item is drawn of: while that is the same, it is not drawn again. Without it: `render`. */
  drawnOf?: (index: number) => string;
  jump?: Signal<Jump | null>;
  onSeen?: (first: number, stop: number) => void;
  roles?: "list" | "rows";
  /** Stands above the items and is scrolled sideways with them. */
  head?: ComponentChildren;
}

export function Windowed({
  count,
  guess,
  fixed,
  of,
  label,
  render,
  drawnOf,
  jump,
  onSeen,
  roles = "list",
  head,
}: Props): JSX.Element {
  const box = useRef<HTMLDivElement>(null);
  const scroll = useSignal(0);
  const size = useSignal({ width: 0, height: 600 });
  const measured = useSignal(0);
  const jumped = useRef<Jump | null>(null);
  const anchor = useRef<Anchor>({ index: 0, hidden: 0 });
  const heights = useMemo(
    () => new Heights(count, guess),
    [of, count, guess, fixed ? 0 : size.value.width],
  );

  // An item that was drawn is not drawn again while one scrolls.
  const kept = useMemo(() => new Map<number, Drawn>(), [of, drawnOf ? null : render]);

  const settle = () => {
    if (!box.current) return;
    const whole = box.current.lastElementChild as HTMLElement; // else the end may be out of reach
    if (!printing.value) whole.style.height = `${heights.total}px`;
    box.current.scrollTop = heights.offset(anchor.current.index) + anchor.current.hidden;
    scroll.value = box.current.scrollTop;
  };
  useLayoutEffect(() => {
    anchor.current = { index: 0, hidden: 0 };
    settle();
  }, [of]);
  useSize(box, size);
  useLayoutEffect(settle, [heights]);
  useEffect(
    () =>
      jump?.subscribe((to) => {
        if (!to || to === jumped.current) return;
        jumped.current = to;
        anchor.current = { index: Math.max(0, Math.min(to.index, count - 1)), hidden: 0 };
        settle();
      }),
    [jump, heights],
  );
  useLayoutEffect(() => {
    if (fixed || !measure(box.current, heights)) return;
    settle();
    measured.value++;
  });

  void measured.value;
  const whole = printing.value && count <= PRINTED;
  const [first, stop] = whole ? [0, count] : windowOf(heights, scroll.value, size.value.height);
  useEffect(() => onSeen?.(first, stop), [first, stop, onSeen]);
  const onScroll = () => {
    if (!box.current) return; // it was scrolled just before it went away
    if (box.current.scrollTop === scroll.value) return; // this list did it: what it jumped to stays
    scroll.value = box.current.scrollTop;
    anchor.current = anchorAt(heights, scroll.value);
  };
  const drawn = new Map<number, Drawn>();
  const items: JSX.Element[] = [];
  const role = roles === "rows" ? "row" : "listitem";
  for (let index = first; index < Math.min(stop, count); index++) {
    const by = drawnOf?.(index) ?? "";
    const old = kept.get(index);
    const item = old?.by === by ? old : { by, content: render(index) };
    drawn.set(index, item);
    const style = whole ? {} : { transform: `translateY(${heights.offset(index)}px)` };
    items.push(
      <div key={index} class="item" role={role} data-item={index} style={style}>
        {item.content}
      </div>,
    );
  }
  replace(kept, drawn);
  return (
    <div
      class="windowed"
      ref={box}
      onScroll={onScroll}
      tabIndex={0}
      role={roles === "rows" ? "rowgroup" : "list"}
      aria-label={label}
    >
      {head}
      <div
        key="whole"
        class="whole"
        role="presentation"
        style={{ height: whole ? "auto" : `${heights.total}px` }}
      >
        {items}
      </div>
    </div>
  );
}

/** A number that is another one whenever one of these is: what all items are drawn of. */
export function useStamp(of: readonly unknown[]): number {
  const last = useRef(0);
  return useMemo(() => ++last.current, of);
}

interface Drawn {
  by: string;
  content: ComponentChildren;
}

function replace<K, V>(old: Map<K, V>, next: Map<K, V>): void {
  old.clear();
  for (const [key, value] of next) old.set(key, value);
}

function useSize(
  box: { current: HTMLDivElement | null },
  size: Signal<{ width: number; height: number }>,
): void {
  useLayoutEffect(() => {
    const read = () => {
      const { clientWidth: width, clientHeight: height } = box.current!;
      if (width !== size.value.width || height !== size.value.height)
        size.value = { width, height };
    };
    const observer = new ResizeObserver(read);
    observer.observe(box.current!);
    read();
    return () => observer.disconnect();
  }, []);
}

function measure(box: HTMLDivElement | null, heights: Heights): boolean {
  let changed = false;
  for (const item of box?.querySelectorAll<HTMLElement>("[data-item]") ?? []) {
    changed = heights.set(Number(item.dataset["item"]), item.offsetHeight) || changed;
  }
  return changed;
}
