/*
 * Numbers and times in words, as the reader's language has them (Intl).
 */

const SHORT = new Intl.NumberFormat(undefined, { notation: "compact", maximumFractionDigits: 1 });
const DAY = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const DAY_YEAR = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", year: "numeric" });
const WHOLE = new Intl.DateTimeFormat(undefined, { dateStyle: "long", timeStyle: "short" });
const CLOCK = new Intl.DateTimeFormat(undefined, { hour: "numeric", minute: "2-digit" });
const SINCE = new Intl.RelativeTimeFormat(undefined, { style: "narrow", numeric: "auto" });
/** @type {[Intl.RelativeTimeFormatUnit, number][]} */
const UNITS = [["day", 86_400], ["hour", 3600], ["minute", 60]];
const WEEK_S = 7 * 86_400;

/** @param {number} n */
export const number = (n) => SHORT.format(n ?? 0);

/** @param {string} iso */
export function day(iso) {
    const date = new Date(iso);
    if (Number.isNaN(+date)) return "";
    return (date.getFullYear() === new Date().getFullYear() ? DAY : DAY_YEAR).format(date);
}

/** Day and time, whole. @param {string} iso */
export const time = (iso) => (Number.isNaN(Date.parse(iso)) ? "" : WHOLE.format(new Date(iso)));

/** The time of day, of another day with that. @param {string | number | undefined} at */
export function whenever(at) {
    const date = new Date(at ?? Number.NaN);
    if (Number.isNaN(+date)) return "";
    return (date.toDateString() === new Date().toDateString() ? CLOCK : WHOLE).format(date);
}

/** How long ago, or how long until. @param {string} iso */
export function ago(iso) {
    const s = Math.round((Date.parse(iso) - Date.now()) / 1000);
    if (Number.isNaN(s)) return "";
    if (Math.abs(s) >= WEEK_S) return day(iso);
    for (const [unit, length] of UNITS) if (Math.abs(s) >= length) return SINCE.format(Math.trunc(s / length), unit);
    return SINCE.format(0, "second");
}
