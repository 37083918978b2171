// Means and paired differences with Student's t interval; no table of quantiles, so that any n has its own.

export interface Estimate {
  value: number;
  low: number;
  high: number;
  p: number;
  n: number;
}

export const FEWEST_PROBLEMS = 8;

/** Mean of values with its 95% interval and the p-value of "the mean is 0". NaN ends where nothing varies. */
export function meanOf(values: readonly number[]): Estimate {
  const n = values.length;
  const value = n ? values.reduce((sum, each) => sum + each, 0) / n : NaN;
  if (n < 2) return { value, low: NaN, high: NaN, p: NaN, n };
  const error = Math.sqrt(values.reduce((sum, each) => sum + (each - value) ** 2, 0) / (n - 1) / n);
  if (!(error > 0) || Math.min(...values) === Math.max(...values)) return { value, low: NaN, high: NaN, p: NaN, n };
  const reach = studentQuantile(n - 1) * error;
  return { value, low: value - reach, high: value + reach, p: studentTails(value / error, n - 1), n };
}

/** Benjamini and Hochberg's q of each p; NaN stays NaN and does not count. */
export function qValues(p: readonly number[]): number[] {
  const order = p.map((_, at) => at).filter((at) => !Number.isNaN(p[at]));
  order.sort((a, b) => p[b] - p[a]);
  const q = p.map(() => NaN);
  let least = 1;
  order.forEach((at, above) => {
    least = Math.min(least, (p[at] * order.length) / (order.length - above));
    q[at] = least;
  });
  return q;
}

/** P(|T| > |t|) of Student's t. */
export function studentTails(t: number, degrees: number): number {
  return incompleteBeta(degrees / (degrees + t * t), degrees / 2, 0.5);
}

/** The t that leaves 2.5% above it. */
export function studentQuantile(degrees: number): number {
  let low = 0;
  let high = 1;
  while (studentTails(high, degrees) > 0.05 && high < 1e6) high *= 2;
  for (let round = 0; round < 60; round++) {
    const middle = (low + high) / 2;
    if (studentTails(middle, degrees) > 0.05) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}

/** The regularized incomplete beta function, by its continued fraction (Lentz). */
function incompleteBeta(x: number, a: number, b: number): number {
  if (x <= 0) return 0;
  if (x >= 1) return 1;
  if (x > (a + 1) / (a + b + 2)) return 1 - incompleteBeta(1 - x, b, a);
  const front = Math.exp(logGamma(a + b) - logGamma(a) - logGamma(b) + a * Math.log(x) + b * Math.log(1 - x)) / a;
  const tiny = 1e-300;
  let c = 1;
  let d = 1 / (1 - ((a + b) * x) / (a + 1) || tiny);
  let fraction = d;
  for (let m = 1; m < 300; m++) {
    for (const step of [
      (m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m)),
      (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1)),
    ]) {
      d = 1 / (1 + step * d || tiny);
      c = 1 + step / c || tiny;
      fraction *= d * c;
    }
    if (Math.abs(d * c - 1) < 1e-12) break;
  }
  return front * fraction;
}

/** The logarithm of the gamma function for x > 0: Stirling's series, after the recurrence has made x large. */
function logGamma(x: number): number {
  let shift = 0;
  while (x < 10) shift -= Math.log(x++);
  const inverse = 1 / (x * x);
  const series = (1 / 12 - inverse * (1 / 360 - inverse * (1 / 1260 - inverse / 1680))) / x;
  return shift + (x - 0.5) * Math.log(x) - x + 0.5 * Math.log(2 * Math.PI) + series;
}
