// What comes from the server while a page is shown.

import { type Signal, useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { ApiError } from "./api";
import { until } from "./line";
import { returned } from "./state";

export interface Loaded<T> {
  value: T | null;
  error: ApiError | null;
  /** The key that the value answers; that of an older question while a newer one is asked. */
  of?: string;
}

/**
 * Asks when `key` changes, and when a server that did not answer is back. The old answer stays until
 * the new one is there, if `keep`. What is no longer on screen, or asked otherwise, is given up.
 */
export function useLoaded<T>(key: string, ask: () => Promise<T>, keep = false): Signal<Loaded<T>> {
  const loaded = useSignal<Loaded<T>>({ value: null, error: null });
  const tries = useSignal(0);
  useEffect(() => returned.subscribe(() => loaded.peek().error?.isPassing && tries.value++), []);
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

export function asApiError(error: unknown): ApiError {
  return error instanceof ApiError ? error : new ApiError(String(error), null, null, 0);
}
