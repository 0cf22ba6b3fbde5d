/*
 * A timeline as its reader has it: which ids, in which order, in which pages, and where something isn't loaded.
 *
 *     pages (older, newer, newest) --+
 *     what a stream tells (hear) ----+--> rows: pages of ids, newest first, and gaps between them; pending above them
 *
 * The definition: every id once; newest first; between two ids that are neighbours in rows nothing is missing; where
 * something may be, a gap stands. What a test of random orders compares is this sentence.
 *
 * Rules of this file
 * - Pure: no document, clock or network. Ids are decimal texts, greater is newer.
 * - What a stream tells of a place that isn't loaded yet waits in `heard` until a page reaches that place: a page that
 *   was read before and comes after would lack it.
 * - `epoch` grows when something was missed: a page asked for before is not to be put in after.
 * - Bounded: HEARD_MAX that wait, PENDING_MAX that aren't met; beyond, the top isn't known and is read again.
 * - Not ordered (people, notices): pages as they come, each id once; nothing else.
 */

export const PAGE = 20;
export const PENDING_MAX = 400;
const HEARD_MAX = 400;
const GONE_MAX = 500;

/** @typedef {{key: number, gap: boolean, ids: string[]}} Row */

/** Above 0: a is newer. @param {string} a @param {string} b @returns {number} */
export const compare = (a, b) => a.length - b.length || (a < b ? -1 : a > b ? 1 : 0);

export class Timeline {
    /** @type {Row[]} */ rows = [];
    /** Newest first; above all rows, without a gap. @type {string[]} */ pending = [];
    /** Whether nothing is newer than rows and pending but what will be heard. */ topKnown = false;
    /** Whether nothing is older. */ bottomKnown = false;
    epoch = 0;
    /** @type {Set<string>} */ #known = new Set();
    /** @type {Set<string>} */ #heard = new Set();
    /** @type {Set<string>} */ #gone = new Set();
    #keys = 0;

    /** @param {{ordered?: boolean}} [how] */
    constructor({ ordered = true } = {}) {
        this.ordered = ordered;
    }

    /** The newest that is shown. */
    get top() {
        return this.rows[0]?.ids[0];
    }

    /** The oldest that is shown. */
    get bottom() {
        return this.rows.at(-1)?.ids.at(-1);
    }

    /** The newest that nothing is missing below of. */
    get newestKnown() {
        return this.pending[0] ?? this.top;
    }

    /** How many are known to be above the rows. */
    get ahead() {
        const { top } = this;
        return this.pending.length + [...this.#heard].filter((id) => top && compare(id, top) > 0).length;
    }

    /** @returns {string[]} all that rows have */
    get ids() {
        return this.rows.flatMap((row) => row.ids);
    }

    /** @param {string} id */
    has(id) {
        return this.#known.has(id);
    }

    /** How many shown are newer than an id. @param {string} id */
    above(id) {
        let count = 0;
        for (const row of this.rows) {
            for (const each of row.ids) {
                if (compare(each, id) <= 0) return count;
                count += 1;
            }
        }
        return count;
    }

    /** The ids round a gap. @param {number} key @returns {{above: string, below: string} | null} */
    round(key) {
        const at = this.rows.findIndex((row) => row.key === key && row.gap);
        const above = this.rows[at - 1]?.ids.at(-1);
        const below = this.rows[at + 1]?.ids[0];
        return at > 0 && above && below ? { above, below } : null;
    }

    /** The first page. @param {string[]} ids @param {{top?: boolean, end?: boolean}} [how] top: it was read without a cursor */
    first(ids, { top = true, end = false } = {}) {
        this.#insert(0, this.#fresh(ids));
        this.topKnown = top;
        this.bottomKnown = end;
        this.#settle();
    }

    /** A page of older ones, at the end or below what is above a gap. @param {string[]} ids
     * @param {boolean} end whether there are none older @param {number} [gap] */
    older(ids, end, gap) {
        const at = gap === undefined ? this.rows.length : this.rows.findIndex((row) => row.key === gap);
        if (at < 0) return;
        const below = gap === undefined ? undefined : this.rows[at + 1]?.ids[0];
        const above = this.rows[at - 1]?.ids.at(-1);
        this.#insert(at, this.#between(ids, above, below));
        if (gap === undefined) this.bottomKnown = end;
        else if (end || (below && ids.some((id) => compare(id, below) <= 0))) this.#close(gap);
        this.#settle();
    }

    /** A page of newer ones, at the top or above what is below a gap. @param {string[]} ids
     * @param {boolean} complete whether there are none newer @param {number} [gap] */
    newer(ids, complete, gap) {
        const at = gap === undefined ? 0 : this.rows.findIndex((row) => row.key === gap) + 1;
        if (gap !== undefined && at < 1) return;
        if (gap === undefined) this.meet(this.pending.length);
        const above = gap === undefined ? undefined : this.rows[at - 2]?.ids.at(-1);
        const below = this.rows[at]?.ids[0];
        const closes = complete || (above && ids.some((id) => compare(id, above) >= 0));
        this.#insert(at, this.#between(ids, above, below));
        if (gap !== undefined && closes) this.#close(gap);
        if (gap === undefined && complete) this.topKnown = true;
        this.#settle();
    }

    /** The newest page, above all: with a gap below it if it doesn't reach what is there. @param {string[]} ids @param {boolean} end */
    newest(ids, end) {
        this.meet(this.pending.length);
        const { top } = this;
        if (!top) return this.first(ids, { end });
        const reaches = end || ids.some((id) => compare(id, top) <= 0);
        const fresh = this.#between(ids, undefined, top);
        if (fresh.length && !reaches) this.rows.unshift({ key: (this.#keys += 1), gap: true, ids: [] });
        this.#insert(0, fresh);
        this.topKnown = true;
        this.#settle();
    }

    /** From where what may have been missed is read: a page further down, for what came late meanwhile, but above gaps.
     * What came later still than that isn't found before its page is read again. */
    get overlap() {
        const at = this.rows.findIndex((row) => row.gap);
        const ids = this.rows.slice(0, at < 0 ? undefined : at).flatMap((row) => row.ids);
        return ids[PAGE] ?? ids.at(-1);
    }

    /** What was missed has been read: it waits above, as if it had been heard. @param {string[]} ids
     * @param {boolean} whole whether all of it; if not, only what belongs among those here is taken */
    caughtUp(ids, whole) {
        const { newestKnown } = this;
        for (const id of ids) if (!this.#known.has(id) && (whole || (newestKnown && compare(id, newestKnown) < 0))) this.#heard.add(id);
        this.topKnown = whole;
        this.#settle();
    }

    /** What waits is to be read again. */
    #forget() {
        for (const id of this.pending) this.#known.delete(id);
        this.pending = [];
    }

    /** A stream tells of one. @param {string} id @returns {boolean} whether it is new here */
    hear(id) {
        if (!this.ordered || this.#known.has(id) || this.#heard.has(id) || this.#gone.has(id)) return false;
        this.#heard.add(id);
        this.#settle();
        return true;
    }

    /** Something was missed: what is newer than all here isn't known any more. */
    lost() {
        this.epoch += 1;
        this.topKnown = false;
        this.#heard.clear();
        this.#forget();
    }

    /** Take up to this many of the oldest that wait into the rows. @param {number} most @returns {boolean} whether there were any */
    meet(most) {
        const met = this.pending.splice(Math.max(0, this.pending.length - most));
        for (const id of met) this.#known.delete(id);
        this.#insert(0, met);
        return met.length > 0;
    }

    /** One is no more. @param {string} id */
    remove(id) {
        this.#gone.add(id);
        for (const old of this.#gone) {
            if (this.#gone.size <= GONE_MAX) break;
            this.#gone.delete(old);
        }
        this.#heard.delete(id);
        if (!this.#known.delete(id)) return;
        this.pending = this.pending.filter((each) => each !== id);
        const at = this.rows.findIndex((row) => row.ids.includes(id));
        if (at < 0) return;
        const row = this.rows[at];
        row.ids = row.ids.filter((each) => each !== id);
        if (!row.ids.length) this.#emptied(at);
    }

    /** A page has nothing left: of two gaps that meet one stays, and none at an edge. @param {number} at */
    #emptied(at) {
        this.rows.splice(at, 1);
        if (this.rows[at - 1]?.gap && this.rows[at]?.gap) this.rows.splice(at, 1);
        if (this.rows[0]?.gap || !this.rows.length) this.meet(this.pending.length); // what waits is above the gap, too
        if (this.rows[0]?.gap) {
            this.rows.shift();
            this.topKnown = false;
        }
        if (this.rows.at(-1)?.gap) {
            this.rows.pop();
            this.bottomKnown = false;
        }
    }

    /** @param {string[]} ids */
    #fresh(ids) {
        return [...new Set(ids)].filter((id) => !this.#known.has(id) && !this.#gone.has(id));
    }

    /** Those that belong between two; what of them belongs elsewhere is put where it does. @param {string[]} ids
     * @param {string | undefined} above @param {string | undefined} below */
    #between(ids, above, below) {
        const fresh = this.#fresh(ids);
        if (!this.ordered) return fresh;
        const inside = fresh.filter((id) => (!above || compare(id, above) < 0) && (!below || compare(id, below) > 0));
        for (const id of fresh) if (!inside.includes(id)) this.#heard.add(id);
        return inside;
    }

    /** @param {number} at @param {string[]} ids */
    #insert(at, ids) {
        const sorted = this.ordered ? [...ids].sort((a, b) => compare(b, a)) : ids;
        /** @type {Row[]} */
        const made = [];
        for (let from = 0; from < sorted.length; from += PAGE) made.push({ key: (this.#keys += 1), gap: false, ids: sorted.slice(from, from + PAGE) });
        for (const id of sorted) {
            this.#known.add(id);
            this.#heard.delete(id);
        }
        this.rows.splice(at, 0, ...made);
    }

    /** @param {number} gap */
    #close(gap) {
        this.rows = this.rows.filter((row) => row.key !== gap);
    }

    /** Put what was heard where it belongs, if that is loaded. */
    #settle() {
        if (!this.rows.length && !(this.topKnown && this.bottomKnown)) return this.#bound();
        for (const id of [...this.#heard]) if (this.#known.has(id) || this.#gone.has(id) || this.#place(id)) this.#heard.delete(id);
        this.#bound();
    }

    /** @param {string} id @returns {boolean} whether it has a place */
    #place(id) {
        const { newestKnown, bottom, top } = this;
        if (!newestKnown || !bottom || !top) {
            this.#insert(0, [id]); // the first of an empty timeline
            return true;
        }
        if (compare(id, top) > 0) {
            if (!this.topKnown && compare(id, newestKnown) > 0) return false;
            const at = this.pending.findIndex((each) => compare(each, id) < 0);
            this.pending.splice(at < 0 ? this.pending.length : at, 0, id);
            this.#known.add(id);
            return true;
        }
        if (compare(id, bottom) < 0) {
            if (!this.bottomKnown) return false;
            this.rows[this.rows.length - 1].ids.push(id);
            this.#known.add(id);
            return true;
        }
        return this.#late(id);
    }

    /** One that comes late, between two that are shown; in a gap it has no place yet. @param {string} id */
    #late(id) {
        for (const [at, row] of this.rows.entries()) {
            if (row.gap || compare(id, /** @type {string} */ (row.ids.at(-1))) < 0) continue;
            const isAbove = compare(id, row.ids[0]) > 0; // between this row and the one before
            if (isAbove && this.rows[at - 1]?.gap) return false;
            row.ids.splice(isAbove ? 0 : row.ids.findIndex((each) => compare(each, id) < 0), 0, id);
            this.#known.add(id);
            return true;
        }
        return false;
    }

    #bound() {
        for (const id of this.#heard) {
            if (this.#heard.size <= HEARD_MAX) break;
            this.#heard.delete(id);
        }
        if (this.pending.length <= PENDING_MAX) return;
        this.#forget();
        this.topKnown = false;
    }
}
