// What comes from the server while a page is shown.

import { type Signal, useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { ApiError } from "./api";
import { until } from "./line";
import { grown, returned } from "./state";

export interface Loaded<T> {
  value: T | null;
  error: ApiError | null;
  /** The key that the value answers; that of an older question while a newer one is asked. */
  of?: string;
}

/**
 * Asks when `key` changes, and when a server that did not answer is back, or a run grew that had not
 * what was asked for. The old answer stays until
 * the new one is there, if `keep`. What is no longer on screen, or asked otherwise, is given up.
 */
export function useLoaded<T>(key: string, ask: () => Promise<T>, keep = false): Signal<Loaded<T>> {
  const loaded = useSignal<Loaded<T>>({ value: null, error: null });
  const tries = useSignal(0);
  useEffect(() => returned.subscribe(() => loaded.peek().error?.isPassing && tries.value++), []);
  useEffect(
    () =>
      whenGrown(
        () => loaded.peek().error?.status === 404,
        () => tries.value++,
      ),
    [],
  );
  useEffect(() => {
    const gone = new AbortController();
    const { signal } = gone;
    if (!keep) loaded.value = { value: null, error: null };
    until(signal, ask).then(
      (value) => !signal.aborted && (loaded.value = { value, error: null, of: key }),
      (error: unknown) =>
        !signal.aborted &&
        (loaded.value = { ...(keep ? loaded.value : { value: null }), error: asApiError(error) }),
    );
    return () => gone.abort();
  }, [key, tries.value]);
  return loaded;
}

const SOON = 1000; // milliseconds

/**
 * Calls `again` after something grew while `isMissing`, less and less often: what is not there may
 * be read yet, or come back. Returns what ends it.
 */
function whenGrown(isMissing: () => boolean, again: () => void): () => void {
  let [rest, timer]: [number, ReturnType<typeof setTimeout> | null] = [SOON, null];
  const stop = grown.subscribe(() => {
    if (timer !== null || !isMissing()) return;
    timer = setTimeout(() => {
      [timer, rest] = [null, rest * 2];
      if (isMissing()) again();
    }, rest);
  });
  return () => {
    stop();
    if (timer !== null) clearTimeout(timer);
  };
}

export function asApiError(error: unknown): ApiError {
  return error instanceof ApiError ? error : new ApiError(String(error), null, null, 0);
}
