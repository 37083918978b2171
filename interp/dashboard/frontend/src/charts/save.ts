// A chart as a file: the colours and fonts that the page gives it are written into a copy of its SVG.
import { download, fileName } from "../text";
import { cut } from "./axis";

const KEPT = [
  "fill",
  "fill-opacity",
  "stroke",
  "stroke-width",
  "stroke-opacity",
  "stroke-dasharray",
  "stroke-linecap",
  "stroke-linejoin",
  "opacity",
  "font-size",
  "font-weight",
  "font-family",
  "text-anchor",
  "dominant-baseline",
];

const DEFAULTS = new Set([
  "fill-opacity: 1",
  "stroke: none",
  "stroke-width: 1px",
  "stroke-opacity: 1",
  "stroke-dasharray: none",
  "stroke-linecap: butt",
  "stroke-linejoin: miter",
  "opacity: 1",
  "font-weight: 400",
  "text-anchor: start",
  "dominant-baseline: auto",
]);
const LINE = 16;
/** Pixels above the chart for the lines of its title. */
const headHeight = (lines: string[]): number => 12 + LINE * lines.length;

/** Words in at most three lines of a number of characters. */
function wrapped(text: string, characters: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(" ")) {
    const last = lines.length - 1;
    if (last >= 0 && (lines[last].length + word.length < characters || last === 2)) lines[last] += ` ${word}`;
    else lines.push(word);
  }
  return lines.map((line) => cut(line, characters));
}

/** The SVG as text, with its title, with a background and nothing that needs the page's styles. */
export function svgText(svg: SVGSVGElement, title: string): string {
  const copy = svg.cloneNode(true) as SVGSVGElement;
  const originals = [svg, ...svg.querySelectorAll<SVGElement>("*")];
  const copies = [copy, ...copy.querySelectorAll<SVGElement>("*")];
  originals.forEach((original, i) => {
    if (/^(title|desc)$/.test(original.tagName)) return;
    const style = getComputedStyle(original);
    for (const name of KEPT) {
      const value = style.getPropertyValue(name);
      if (value && !DEFAULTS.has(`${name}: ${value}`)) copies[i].setAttribute(name, value);
    }
    for (const name of ["class", "style", "tabindex", "aria-labelledby"]) copies[i].removeAttribute(name);
  });
  const box = svg.viewBox.baseVal;
  copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  copy.setAttribute("width", String(box.width));
  const lines = wrapped(title, Math.floor(box.width / 7));
  const head = headHeight(lines);
  copy.setAttribute("height", String(box.height + head));
  copy.setAttribute("viewBox", `0 ${-head} ${box.width} ${box.height + head}`);
  const color = (name: string) => getComputedStyle(svg).getPropertyValue(name).trim();
  const headings = lines.map((line, i) => {
    const heading = part("text", { x: 6, y: 18 + i * LINE - head, "font-size": 12, "font-weight": 600, fill: color("--text") });
    heading.textContent = line;
    return heading;
  });
  copy.prepend(part("rect", { y: -head, width: "100%", height: "100%", fill: color("--surface") }), ...headings);
  return new XMLSerializer().serializeToString(copy);
}

function part(name: string, attributes: Record<string, string | number>): SVGElement {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, String(value));
  return element;
}

export function saveSvg(svg: SVGSVGElement, title: string): void {
  download(fileName(title, "svg"), svgText(svg, title), "image/svg+xml");
}

/** At twice the size on screen. */
export async function savePng(svg: SVGSVGElement, title: string): Promise<void> {
  const { width, height } = svg.viewBox.baseVal;
  const tall = height + headHeight(wrapped(title, Math.floor(width / 7)));
  const image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(svgText(svg, title))}`;
  await image.decode();
  const canvas = document.createElement("canvas");
  canvas.width = Math.round(width * 2);
  canvas.height = Math.round(tall * 2);
  canvas.getContext("2d")!.drawImage(image, 0, 0, canvas.width, canvas.height);
  const blob = await new Promise<Blob | null>((done) => canvas.toBlob(done, "image/png"));
  if (blob) download(fileName(title, "png"), blob);
}
