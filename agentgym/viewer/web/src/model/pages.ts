// A long list that is fetched by the page, as far as it is looked at.

import { signal } from "@preact/signals";
import type { ApiError } from "./api";
import { until } from "./line";
import { asApiError } from "./load";
import { returned } from "./state";
import type { Page } from "./types";

export class Pages<T> {
  /** null: not yet known. */
  readonly total = signal<number | null>(null);
  readonly error = signal<ApiError | null>(null);
  /** Counts the pages that came, so that what shows them is drawn anew. */
  readonly came = signal(0);
  private readonly pages = new Map<number, T[] | "asked">();
  private readonly old = new Set<number>();
  /** Those that could not be fetched, so that what shows an error does not ask for ever. */
  private readonly failed = new Map<number, number>();

  private readonly gone = new AbortController();

  constructor(
    private readonly ask: (offset: number, limit: number) => Promise<Page<T>>,
    readonly size = 100,
  ) {
    this.want(0, 1);
  }

  at(index: number): T | undefined {
    const page = this.pages.get(Math.floor(index / this.size));
    return page === "asked" ? undefined : page?.[index % this.size];
  }

  /** Fetches the rows [first, stop) unless they are there; what failed, once the server was away and is back. */
  want(first: number, stop: number): void {
    for (let page = Math.floor(first / this.size); page * this.size < stop; page++) {
      const hasFailed = this.failed.get(page) === returned.value;
      if (!hasFailed && (!this.pages.has(page) || this.old.delete(page))) void this.fetch(page);
    }
  }

  /** What is there may have changed: it is shown until it was fetched once more. */
  renew(first: number, stop: number): void {
    for (const page of this.pages.keys()) this.old.add(page);
    this.failed.clear();
    this.want(first, Math.max(stop, first + 1));
  }

  /** Gives up what did not come yet: nobody looks at it any more. */
  stop(): void {
    this.gone.abort();
  }

  private async fetch(page: number): Promise<void> {
    if (!this.pages.has(page)) this.pages.set(page, "asked");
    this.failed.delete(page);
    try {
      const found = await until(this.gone.signal, () => this.ask(page * this.size, this.size));
      this.pages.set(page, found.rows);
      this.total.value = found.total;
      this.error.value = null;
    } catch (error) {
      if (this.pages.get(page) === "asked") this.pages.delete(page);
      this.failed.set(page, returned.value);
      this.error.value = asApiError(error);
    }
    this.came.value++;
  }
}
