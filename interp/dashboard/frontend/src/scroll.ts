// What of a scrolling element is in sight.
import type { RefObject } from "preact";
import { useLayoutEffect, useState } from "preact/hooks";

export interface ScrollWindow {
  top: number;
  height: number;
}

/** Kept up to date at most once a frame. */
export function useScrollWindow(element: RefObject<HTMLElement>): ScrollWindow {
  const [view, setView] = useState<ScrollWindow>({ top: 0, height: 800 });
  useLayoutEffect(() => {
    const it = element.current!;
    let frame = 0;
    const read = () => {
      frame = 0;
      setView((old) =>
        old.top === it.scrollTop && old.height === it.clientHeight ? old : { top: it.scrollTop, height: it.clientHeight },
      );
    };
    const later = () => {
      if (!frame) frame = requestAnimationFrame(read);
    };
    read();
    it.addEventListener("scroll", later, { passive: true });
    const sizes = new ResizeObserver(later);
    sizes.observe(it);
    return () => {
      cancelAnimationFrame(frame);
      it.removeEventListener("scroll", later);
      sizes.disconnect();
    };
  }, []);
  return view;
}

/** The width of an element in pixels; `otherwise` before it is laid out. */
export function useWidth(element: RefObject<HTMLElement>, otherwise: number): number {
  const [width, setWidth] = useState(otherwise);
  useLayoutEffect(() => {
    const it = element.current!;
    const read = () => {
      if (it.clientWidth) setWidth(it.clientWidth);
    };
    read();
    const sizes = new ResizeObserver(read);
    sizes.observe(it);
    return () => sizes.disconnect();
  }, []);
  return width;
}
