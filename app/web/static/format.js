// Format numbers, sizes and times for display.

const whole = new Intl.NumberFormat("en");
const short = new Intl.NumberFormat("en", {
  notation: "compact",
  minimumSignificantDigits: 3,
  maximumSignificantDigits: 3,
});
const dateTime = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });
const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
const NOTHING = "–";

/** 31,021,952 */
export function count(value) {
  return value === null || value === undefined ? NOTHING : whole.format(value);
}

/** 31.0M */
export function compact(value) {
  if (value === null || value === undefined) {
    return NOTHING;
  }
  return value < 1000 ? whole.format(value) : short.format(value);
}

/** 1 filter, 2 filters */
export function plural(number, one, many = `${one}s`) {
  return `${whole.format(number)} ${number === 1 ? one : many}`;
}

/** 92.43 % */
export function percent(share, digits = 2) {
  if (share === null || share === undefined) {
    return NOTHING;
  }
  return `${(100 * share).toFixed(digits)}\u00a0%`;
}

/** 0.5123, or 4.8e-16 for very small and very large values. */
export function decimal(value, digits = 4) {
  if (value === null || value === undefined) {
    return NOTHING;
  }
  const size = Math.abs(value);
  if (size !== 0 && (size < 10 ** -digits || size >= 1e6)) {
    return value.toExponential(1);
  }
  return Number(value.toFixed(digits)).toString();
}

/** 1.1 MB */
export function bytes(value) {
  if (value === null || value === undefined) {
    return NOTHING;
  }
  const units = ["B", "kB", "MB", "GB", "TB"];
  let size = value;
  let unit = 0;
  while (size >= 999.5 && unit < units.length - 1) {
    size /= 1000;
    unit += 1;
  }
  return `${unit === 0 || size >= 100 ? Math.round(size) : size.toFixed(1)}\u00a0${units[unit]}`;
}

/** 0.86 ms */
export function milliseconds(seconds) {
  if (seconds === null || seconds === undefined) {
    return NOTHING;
  }
  const value = seconds * 1000;
  return `${value >= 100 ? Math.round(value) : value.toFixed(2)}\u00a0ms`;
}

/** "1.9x (1.7 to 2.1)", or "no measurable difference". */
export function speedup(found) {
  if (!found) {
    return NOTHING;
  }
  if (!found.is_measurable) {
    return "no measurable difference";
  }
  const digits = found.high - found.low < 0.2 ? 2 : found.high < 10 ? 1 : 0;
  const [ratio, low, high] = [found.ratio, found.low, found.high].map((value) => value.toFixed(digits));
  return `${ratio}x (${low} to ${high})${found.low > 1 ? "" : ", slower"}`;
}

/** 4 min 12 s */
export function duration(seconds) {
  if (seconds === null || seconds === undefined) {
    return NOTHING;
  }
  if (seconds < 9.95) {
    return `${seconds.toFixed(1)}\u00a0s`;
  }
  const all = Math.round(seconds);
  const [days, hours] = [Math.floor(all / 86_400), Math.floor(all / 3600) % 24];
  const [minutes, rest] = [Math.floor(all / 60) % 60, all % 60];
  const parts = [[days, "d"], [hours, "h"], [minutes, "min"], [rest, "s"]];
  const first = parts.findIndex(([number]) => number > 0);
  return parts
    .slice(first, first + 2)
    .filter(([number]) => number > 0)
    .map(([number, unit]) => `${number}\u00a0${unit}`)
    .join(" ");
}

/** 28 Nov 2026, 05:17:23 */
export function moment(text) {
  return text === null || text === undefined ? NOTHING : dateTime.format(new Date(text));
}

/** 3 minutes ago */
export function ago(text) {
  if (text === null || text === undefined) {
    return NOTHING;
  }
  const seconds = (new Date(text).getTime() - Date.now()) / 1000;
  for (const [unit, size] of [["day", 86_400], ["hour", 3600], ["minute", 60]]) {
    if (Math.abs(seconds) >= size) {
      return relative.format(Math.trunc(seconds / size), unit);
    }
  }
  return Math.abs(seconds) < 10 ? "just now" : relative.format(Math.trunc(seconds), "second");
}

/** job_…R91C: the random end of an id, enough to tell it from its neighbours. */
export function shortId(id) {
  const [prefix, rest = ""] = String(id).split("_");
  return `${prefix}_…${rest.slice(-6)}`;
}

/** "Bn scale" for "bn_scale". */
export function words(name) {
  return capital(String(name).replaceAll("_", " "));
}

/** Return a text with its first letter capitalized. */
export function capital(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
