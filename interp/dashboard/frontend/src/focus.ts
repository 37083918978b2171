// The element with the focus. Some notebooks draw a widget inside a shadow root, which has a focus of its own.

/** The focused element of the tree that an element is in. */
export function focusedIn(element: Element): HTMLElement | null {
  return (element.getRootNode() as Document | ShadowRoot).activeElement as HTMLElement | null;
}
