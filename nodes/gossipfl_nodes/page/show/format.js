// Numbers for people. Knows no meaning of them.

export const dash = "–";
const grouped = new Intl.NumberFormat("en");

export function number(value, digits = 3) {
  if (value === null || value === undefined) return dash;
  if (Number.isInteger(value)) return grouped.format(value);
  return Math.abs(value) >= 1e4 || Math.abs(value) < 1e-3 ? value.toPrecision(digits) : value.toFixed(digits);
}

export function size(bytes) {
  if (bytes === null || bytes === undefined) return dash;
  let value = bytes;
  for (const unit of ["B", "kB", "MB", "GB"]) {
    if (value < 1000 || unit === "GB")
      return `${unit === "B" ? Math.round(value) : Number(value.toPrecision(3))} ${unit}`;
    value /= 1000;
  }
}

export function duration(seconds) {
  if (seconds === null || seconds === undefined) return dash;
  for (const [unit, length] of [
    ["d", 86400],
    ["h", 3600],
    ["min", 60],
  ]) {
    if (seconds >= 2 * length) return `${(seconds / length).toFixed(seconds < 10 * length ? 1 : 0)} ${unit}`;
  }
  return seconds >= 1 || seconds === 0
    ? `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`
    : `${(1000 * seconds).toFixed(seconds < 0.01 ? 1 : 0)} ms`;
}

export const ago = (seconds) => (seconds === null || seconds === undefined ? dash : `${duration(seconds)} ago`);

export const clock = (moment) => new Date(1000 * moment).toLocaleTimeString("en-GB");

export const short = (id) => id.slice(-8);
