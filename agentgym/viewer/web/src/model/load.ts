// What comes from the server while a page is shown.

import { type Signal, useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { ApiError } from "./api";

export interface Loaded<T> {
  value: T | null;
  error: ApiError | null;
}

/** Asks when `key` changes; the old answer stays until the new one is there, if `keep`. */
export function useLoaded<T>(key: string, ask: () => Promise<T>, keep = false): Signal<Loaded<T>> {
  const loaded = useSignal<Loaded<T>>({ value: null, error: null });
  useEffect(() => {
    let wanted = true;
    if (!keep) loaded.value = { value: null, error: null };
    ask().then(
      (value) => wanted && (loaded.value = { value, error: null }),
      (error: unknown) =>
        wanted &&
        (loaded.value = { value: keep ? loaded.value.value : null, error: asApiError(error) }),
    );
    return () => void (wanted = false);
  }, [key]);
  return loaded;
}

export function asApiError(error: unknown): ApiError {
  return error instanceof ApiError ? error : new ApiError(String(error), null, null, 0);
}
