// Keys: views say what a key does while they are shown; the latest one to say so wins.
import { createContext, type RefObject } from "preact";
import { useContext, useEffect, useRef } from "preact/hooks";

export type KeyHandlers = { [key: string]: (event: KeyboardEvent) => void };

export class KeyStore {
  private readonly layers: { current: KeyHandlers }[] = [];

  add(layer: { current: KeyHandlers }): () => void {
    this.layers.push(layer);
    return () => void this.layers.splice(this.layers.indexOf(layer), 1);
  }

  readonly handle = (event: KeyboardEvent): void => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || isTyping(event)) return;
    for (let i = this.layers.length - 1; i >= 0; i--) {
      const handler = this.layers[i].current[event.key];
      if (!handler || (event.key === "Enter" && isOnControl(event))) continue;
      event.preventDefault();
      event.stopPropagation();
      handler(event);
      return;
    }
  };
}

function isTyping(event: KeyboardEvent): boolean {
  const target = event.target as HTMLElement | null;
  return !!target?.closest?.("input, textarea, select, [contenteditable]") && event.key !== "Escape";
}

/** Enter belongs to a link or a button that has the focus. */
const isOnControl = (event: KeyboardEvent): boolean =>
  !!(event.target as HTMLElement | null)?.closest?.("a, button, summary, [role=option]");

export const KeyContext = createContext<KeyStore>(new KeyStore());

/** What keys do while this component is shown: `useKeys({j: next, k: previous})`. */
export function useKeys(handlers: KeyHandlers): void {
  const store = useContext(KeyContext);
  const layer: RefObject<KeyHandlers> = useRef(handlers);
  layer.current = handlers;
  useEffect(() => store.add(layer as { current: KeyHandlers }), [store]);
}
