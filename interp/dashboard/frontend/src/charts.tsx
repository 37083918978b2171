// Charts: small SVG components of our own. Each has a title and a description for screen readers, the numbers as a table,
// and saves itself as SVG, PNG and CSV.
export { Figure } from "./charts/figure";
export { Lines, type LineSeries, type Point } from "./charts/lines";
export { Dots, type DotRow } from "./charts/dots";
export { Bars, type Bar } from "./charts/bars";
export { Heat } from "./charts/heat";
