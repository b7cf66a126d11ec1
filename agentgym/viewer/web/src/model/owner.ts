// The token of the address that `agentgym view` printed: with it pages may label and fork.

const NAME = "token";
let known: string | null = null;

/** Takes the token out of the fragment of the address, where nobody should see or copy it. */
export function takeToken(): boolean {
  const given = new URLSearchParams(location.hash.slice(1)).get(NAME);
  if (!given) return false;
  known = given;
  try {
    localStorage.setItem(NAME, given); // of this host and port alone; cookies go to all ports
  } catch {
    // A browser that keeps nothing knows it until the page is left.
  }
  history.replaceState(history.state, "", location.pathname + location.search);
  return true;
}

/** The token that was taken here, or on another page of this server; null: there is none. */
export function token(): string | null {
  if (known) return known;
  try {
    return localStorage.getItem(NAME);
  } catch {
    return null;
  }
}

/** What a question says of who asks it. */
export function signed(): Record<string, string> {
  const own = token();
  return own ? { authorization: `Bearer ${own}` } : {};
}
