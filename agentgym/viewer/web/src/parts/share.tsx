// What is on screen, to be passed on: as a file that needs no server.

import "./share.css";
import { signal, useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import type { JSX } from "preact";
import { type ApiError, shareFile, showEpisode } from "../model/api";
import type { Key } from "../model/keys";
import { asApiError } from "../model/load";
import { Wrong } from "./parts";
import { file } from "../model/shared";
import { copy, query, told } from "../model/state";

const open = signal(false);

/** The key of screens that can be shared. */
export function shareKeys(): Key[] {
  const act = () => (open.value = !open.value);
  return file ? [] : [{ keys: "x", what: "share: download as one file", act }];
}

/** A group or an episode; the other one is undefined. */
interface Props {
  run: string;
  group?: string;
  episode?: string;
}

export function Share(props: Props): JSX.Element | null {
  useEffect(() => () => void (open.value = false), [props.run, props.group, props.episode]);
  if (file) return null;
  return (
    <span class="share">
      <button
        type="button"
        aria-expanded={open.value}
        title="download as one file that needs no server (x)"
        onClick={() => (open.value = !open.value)}
      >
        share
      </button>
      {open.value && <Asked {...props} />}
    </span>
  );
}

function Asked(props: Props): JSX.Element {
  const wrong = useSignal<ApiError | null>(null);
  const busy = useSignal(false);
  const field = useRef<HTMLInputElement>(null);
  useEffect(() => field.current?.focus(), []);
  const take = async (event: Event) => {
    event.preventDefault();
    busy.value = true;
    wrong.value = null;
    try {
      keep(await shareFile({ ...props, credit: field.current!.value }), name(props));
      told.value = "the file was made";
      open.value = false;
    } catch (error) {
      wrong.value = asApiError(error);
    }
    busy.value = false;
  };
  return (
    <form
      class="raised"
      aria-label="share"
      onSubmit={(event) => void take(event)}
      onKeyDown={(event) => event.key === "Escape" && (open.value = false)}
    >
      <label>
        estimators to ask in it{" "}
        <input ref={field} spellcheck={false} placeholder="none" defaultValue={onScreen()} />
      </label>
      <button type="submit" disabled={busy.value}>
        {busy.value ? "making it" : "download"}
      </button>
      {props.episode !== undefined && (
        <button type="button" onClick={() => void copyJson(props.run, props.episode!)}>
          copy as JSON
        </button>
      )}
      {wrong.value && <Wrong error={wrong.value} />}
    </form>
  );
}

async function copyJson(run: string, episode: string): Promise<void> {
  try {
    await copy(JSON.stringify(await showEpisode(run, episode), null, 2), "episode copied as JSON");
  } catch (error) {
    told.value = asApiError(error).message;
  }
}

/** The estimators that are looked at, or else two that most runs can be asked. */
function onScreen(): string {
  const { credit, minus } = query.value;
  return [credit, minus].filter((each) => each && each !== "trained").join(",") || "grpo,gigpo";
}

function name({ run, group, episode }: Props): string {
  return `${run}-${group ?? episode}`.replace(/[^A-Za-z0-9_.-]+/g, "-") + ".html";
}

function keep(found: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(found);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
