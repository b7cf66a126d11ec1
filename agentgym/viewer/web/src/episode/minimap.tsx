// All tokens of a segment in one strip: where on it colours are, and a way to get there.

import { useLayoutEffect, useRef } from "preact/hooks";
import type { JSX } from "preact";
import { colourOf, type Scale } from "../model/colours";
import { strongest } from "../model/spans";
import { theme } from "../model/state";

interface Props {
  /** The value of each token of the segment; NaN where there is none. */
  values: Float32Array;
  scale: Scale;
  go: (place: number) => void;
}

export function Minimap({ values, scale, go }: Props): JSX.Element {
  const canvas = useRef<HTMLCanvasElement>(null);
  const themed = theme.value;
  useLayoutEffect(() => {
    const draw = () => canvas.current && paint(canvas.current, values, scale);
    const observer = new ResizeObserver(draw);
    observer.observe(canvas.current!);
    draw();
    return () => observer.disconnect();
  }, [values, scale, themed]);
  const onClick = (event: MouseEvent) => {
    const box = canvas.current!.getBoundingClientRect();
    go(
      Math.min(
        values.length - 1,
        Math.floor(((event.clientY - box.top) / box.height) * values.length),
      ),
    );
  };
  return (
    <canvas
      ref={canvas}
      class="minimap"
      aria-hidden="true"
      title="all tokens; click to go there"
      onClick={onClick}
    />
  );
}

function paint(canvas: HTMLCanvasElement, values: Float32Array, scale: Scale): void {
  const { clientWidth: width, clientHeight: height } = canvas;
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  const pen = canvas.getContext("2d");
  if (!pen) return;
  pen.clearRect(0, 0, width, height);
  const colours = shades();
  for (const [line, value] of strongest(values, height).entries()) {
    const name = colourOf(scale, value);
    if (!name) continue;
    if (!colours.has(name)) colours.set(name, colourIn(canvas.parentElement!, name));
    pen.fillStyle = colours.get(name)!;
    pen.fillRect(0, line, width, 1);
  }
}

const known = new Map<string, Map<string, string>>();

/** The colours of classes that are known by now; to ask for one lays the page out. */
function shades(): Map<string, string> {
  const key = `${theme.value} ${matchMedia("(prefers-color-scheme: dark)").matches}`;
  if (!known.has(key)) known.set(key, new Map());
  return known.get(key)!;
}

/** The colour of a class in the theme that is on. */
function colourIn(parent: HTMLElement, name: string): string {
  const probe = parent.appendChild(document.createElement("span"));
  probe.className = name;
  const colour = getComputedStyle(probe).backgroundColor;
  probe.remove();
  return colour;
}
