// The address: what is shown, as a hash that can be copied. A notebook has no location of its own; there it stays in memory.
import { createContext } from "preact";
import { useContext, useEffect, useState } from "preact/hooks";

/** `f` latent number, `r` row of rollouts, `t` token, `by` colouring, `l` latent of the colouring, `q` search; others as needed. */
export interface Address {
  v: string;
  f?: number;
  r?: number;
  t?: number;
  l?: number;
  by?: string;
  q?: string;
  track?: string;
  [key: string]: string | number | undefined;
}

export type Patch = { [key: string]: string | number | null | undefined };

const NUMBERS = new Set(["f", "r", "t", "l"]);
/** Another view, another latent of the feature view, another rollout: the back button returns from there. */
function isNavigation(from: Address, to: Address): boolean {
  return from.v !== to.v || (to.v === "feature" && from.f !== to.f) || (to.v === "rollouts" && from.r !== to.r);
}

export function parseAddress(hash: string): Address {
  const address: Address = { v: "overview" };
  for (const [key, value] of new URLSearchParams(hash.replace(/^#/, ""))) {
    if (!NUMBERS.has(key)) address[key] = value;
    else if (/^\d{1,9}$/.test(value)) address[key] = Number(value);
  }
  return address;
}

/** The hash of exactly this address. */
export function linkTo(address: Patch): string {
  const params = new URLSearchParams();
  for (const [key, value] of Object.entries(address)) {
    if (value != null && value !== "") params.set(key, String(value));
  }
  return `#${params.toString()}`;
}

/** A patch applied: null removes a key, and another view drops the search and the token. */
export function patched(address: Address, patch: Patch): Address {
  const next: Address = { ...address };
  if (patch.v !== undefined && patch.v !== address.v) {
    delete next.q;
    delete next.t;
  }
  for (const [key, value] of Object.entries(patch)) {
    if (value == null || value === "") delete next[key];
    else next[key] = value;
  }
  next.v ??= "overview";
  return next;
}

export class AddressStore {
  current: Address;
  /** Whether the browser's own buttons led here; it then scrolls to where the reader was. */
  returned = false;
  private readonly listeners = new Set<() => void>();

  /** `page`: the browser's location follows. Otherwise the address is kept in memory. `start`: where a report opens. */
  constructor(readonly page: boolean, start = "") {
    this.current = parseAddress((page && location.hash) || start);
    if (page) addEventListener("popstate", this.follow);
    if (page) addEventListener("hashchange", this.follow);
  }

  private readonly follow = () => {
    if (linkTo(parseAddress(location.hash)) === linkTo(this.current)) return;
    this.returned = true;
    this.show(parseAddress(location.hash));
  };

  go(next: Address): void {
    if (this.page) {
      try {
        history[isNavigation(this.current, next) ? "pushState" : "replaceState"](null, "", linkTo(next));
      } catch {
        // A page inside a notebook's frame has no history; the address then stays in memory.
      }
    }
    this.returned = false;
    this.show(next);
  }

  private show(next: Address): void {
    this.current = next;
    for (const listener of [...this.listeners]) listener();
  }

  subscribe(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  close(): void {
    removeEventListener("popstate", this.follow);
    removeEventListener("hashchange", this.follow);
  }
}

export const AddressContext = createContext<AddressStore>(null as unknown as AddressStore);

/** The address, and a function that applies a patch to it. */
export function useAddress(): [Address, (patch: Patch) => void] {
  const store = useContext(AddressContext);
  const [, redraw] = useState(0);
  const drawn = store.current;
  useEffect(() => {
    const draw = () => redraw((n) => n + 1);
    if (store.current !== drawn) draw(); // it changed before anybody listened
    return store.subscribe(draw);
  }, [store]);
  return [store.current, (patch) => store.go(patched(store.current, patch))];
}
