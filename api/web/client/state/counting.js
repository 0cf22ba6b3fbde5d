/*
 * Counting, as the server counts: what a text comes to, and what the server would refuse it for, before it is sent.
 *
 * Rules of this file
 * - Pure. The server's rules are `api/fields.py`, `api/text/texts.py` and `api/mastodon/writing.py`; a test holds these
 *   to those, text by text.
 * - Counted are code points of the text in NFC, with line ends as line feeds. Text and warning share one limit.
 */

/** What no text may have: control characters, lone surrogates, three code points. With `u`, a pair is no surrogate. */
const REFUSED = /[\x00-\x09\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\ufeff\uffff]/u;
const REFUSED_IN_LINE = /[\x00-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029\ufffe\ufeff\uffff]/u;
/** What is to be seen; of format characters those alone that go before numbers. */
const SEEN =
    /[^\p{White_Space}\p{Z}\p{Cc}\p{Cf}\p{Default_Ignorable_Code_Point}\u2800\ufffc\u{1d159}\u{16fe4}\u{13441}\u{13442}]|[\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2\u{110bd}\u{110cd}]/u;

/** What Python strips: U+0085 and the separators too, but no U+FEFF. */
const EDGES = /^(?:(?!\ufeff)[\s\x1c-\x1f\x85])+|(?:(?!\ufeff)[\s\x1c-\x1f\x85])+$/g;

/** @param {string} text @returns {string} without blanks at its ends */
export function stripped(text) {
    return text.replace(EDGES, "");
}

/** @param {string} text @returns {string} as the server keeps it */
export function settledText(text) {
    return text.replace(/\r\n?/g, "\n").normalize("NFC");
}

/** @param {string} text @returns {number} code points */
export function countOf(text) {
    let count = 0;
    for (const _ of settledText(text)) count++;
    return count;
}

/** @param {string} text @returns {boolean} whether nobody would see anything in it */
export function isBlank(text) {
    return !SEEN.test(text);
}

/** @param {string} text @param {boolean} [lines] @returns {string} the first character that is refused, "" for none */
export function refusedIn(text, lines = true) {
    const found = (lines ? REFUSED : REFUSED_IN_LINE).exec(lines ? text.replace(/\r\n?/g, "\n") : text);
    return found ? found[0] : "";
}

/**
 * @typedef {{text: string, warning: string, hasMedia: boolean, max: number, options?: string[] | null, optionMax?: number,
 *     optionsMax?: number}} Counted
 * @typedef {{left: number, problem: "" | "empty" | "long" | "refused" | "options" | "option" | "twice", found: string}} Verdict
 */

/**
 * Say how many characters are left, and what the server would refuse.
 * @param {Counted} given
 * @returns {Verdict}
 */
export function verdictOf({ text, warning, hasMedia, max, options = null, optionMax = 50, optionsMax = 4 }) {
    let spoiler = stripped(settledText(warning));
    let said = settledText(text);
    if (!stripped(said) && spoiler && !hasMedia) [said, spoiler] = [spoiler, ""];
    const left = max - countOf(said) - countOf(spoiler);
    /** @param {Verdict["problem"]} problem @param {string} [found] @returns {Verdict} */
    const verdict = (problem, found = "") => ({ left, problem, found });
    const found = refusedIn(text) || refusedIn(warning);
    if (found) return verdict("refused", found);
    if (left < 0) return verdict("long");
    if (!hasMedia && isBlank(said)) return verdict("empty");
    if (!options) return verdict("");
    const named = options.map((option) => stripped(option).normalize("NFC")).filter((option) => option);
    if (named.length < 2 || named.length > optionsMax) return verdict("options");
    if (new Set(named).size < named.length) return verdict("twice");
    const bad = named.find((option) => refusedIn(option, false) || isBlank(option) || countOf(option) > optionMax);
    return verdict(bad === undefined ? "" : "option", bad);
}

/** @param {number} code @returns {string} "U+0007" */
export function codeName(code) {
    return `U+${code.toString(16).toUpperCase().padStart(4, "0")}`;
}
