/*
 * The timeline beside a model of the server, by seeded orders of events: posts, late ones, deletions, pages that are
 * read now and answered later, streams that break and go on, or go on having missed something.
 *
 * What must hold after each event: every id once, newest first, gaps only between pages. Whenever all answers and events
 * have come: nothing is missing between neighbours, nor above where the top is known, nor below where the bottom is. At the
 * end everything is loaded, and what there is, is what the server has.
 */

const LIMIT = 5;

/** @param {number} seed @returns {() => number} mulberry32 */
function random(seed) {
    let a = seed;
    return () => {
        a = (a + 0x6d2b79f5) | 0;
        let t = Math.imul(a ^ (a >>> 15), 1 | a);
        t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
        return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
    };
}

export class World {
    constructor({ Timeline, compare }, seed) {
        this.compare = compare;
        this.chance = random(seed);
        this.timeline = new Timeline();
        this.posts = []; // the server's, oldest first
        this.ghosts = new Set(); // deleted while nobody told the client
        this.late = new Set(); // came, while nobody told the client, further down than it looks again
        this.last = 990; // of digits that grow: 990 is before 1001
        this.events = []; // on their way, in order
        this.connected = true;
        this.missed = [];
        this.asked = []; // {purpose, query, epoch, gap, ids}: read when `ids` is there
        const before = this.some(60);
        for (let at = 0; at < before; at += 1) this.post(false);
        this.events = [];
        this.ask(this.chance() < 0.5 ? { purpose: "first" } : { purpose: "first", max: this.posts.at(-1 - this.some(this.posts.length)) ?? null });
    }

    some(most) {
        return Math.floor(this.chance() * most);
    }

    tell(event) {
        if (this.connected) this.events.push(event);
        else this.missed.push(event);
    }

    post(late) {
        let id;
        if (late) {
            const free = [];
            for (let each = this.last - 12; each < this.last; each += 1) if (each > 990 && !this.used?.has(String(each))) free.push(String(each));
            if (!free.length) return;
            id = free[this.some(free.length)];
        } else id = String((this.last += 1 + this.some(3)));
        (this.used ??= new Set()).add(id);
        this.posts.push(id);
        this.posts.sort(this.compare);
        this.tell({ update: id });
    }

    remove() {
        if (!this.posts.length) return;
        const [id] = this.posts.splice(this.some(this.posts.length), 1);
        this.tell({ remove: id });
    }

    ask(query) {
        if (this.asked.some((each) => each.purpose === query.purpose && each.gap === query.gap)) return;
        this.asked.push({ ...query, epoch: this.timeline.epoch, ids: null });
    }

    /** The server reads a page. */
    read(asked) {
        const { compare } = this;
        const fit = this.posts.filter((id) => (!asked.max || compare(id, asked.max) < 0) && (!asked.min || compare(id, asked.min) > 0));
        const limit = asked.purpose === "catch up" ? (asked.most ??= 25 + this.some(40)) : LIMIT;
        asked.ids = (asked.min ? fit.slice(0, limit) : fit.slice(-limit)).reverse();
        asked.whole = fit.length <= limit;
    }

    answer(asked) {
        this.asked.splice(this.asked.indexOf(asked), 1);
        const { timeline } = this;
        const { purpose, ids, gap, whole } = asked;
        if (asked.epoch !== timeline.epoch) {
            this.ask({ purpose, max: asked.max, min: asked.min, gap });
            return;
        }
        if (purpose === "first") !timeline.rows.length && timeline.first(ids, { top: !asked.max, end: whole });
        else if (purpose === "older") timeline.older(ids, whole, gap);
        else if (purpose === "newer") timeline.newer(ids, !ids.length, gap);
        else if (purpose === "newest") timeline.newest(ids, whole);
        else timeline.caughtUp(ids, whole);
    }

    deliver() {
        const event = this.events.shift();
        if (!event) return;
        if (event.lost) {
            this.timeline.lost();
            const { overlap } = this.timeline;
            if (!overlap) return;
            this.ask({ purpose: "catch up", min: overlap });
            for (const id of event.lost) if (this.compare(id, overlap) < 0) this.late.add(id);
        } else if (event.update) this.timeline.hear(event.update);
        else this.timeline.remove(event.remove);
    }

    reconnect() {
        if (this.connected) return;
        this.connected = true;
        if (this.chance() < 0.5) this.events.push(...this.missed);
        else {
            for (const { remove } of this.missed) if (remove) this.ghosts.add(remove);
            this.events.push({ lost: this.missed.flatMap(({ update }) => (update ? [update] : [])) });
        }
        this.missed = [];
    }

    /** What the reader does. */
    reader() {
        const { timeline } = this;
        if (!timeline.rows.length) {
            if (!timeline.bottomKnown) this.ask({ purpose: "first" });
            return;
        }
        const gaps = timeline.rows.filter((row) => row.gap);
        const what = this.some(6);
        if (what === 0 && !timeline.bottomKnown) this.ask({ purpose: "older", max: timeline.bottom });
        else if (what === 1 && !timeline.topKnown && !timeline.pending.length) this.ask({ purpose: "newer", min: timeline.top });
        else if (what === 2 && !timeline.topKnown) this.ask({ purpose: "newest" });
        else if (what === 3) timeline.meet(1 + this.some(4));
        else if (gaps.length) this.askGap(gaps[this.some(gaps.length)].key);
    }

    askGap(gap) {
        const round = this.timeline.round(gap);
        if (!round) throw new Error("a gap at an edge");
        if (this.chance() < 0.5) this.ask({ purpose: "older", max: round.above, gap });
        else this.ask({ purpose: "newer", min: round.below, gap });
    }

    step() {
        const what = this.chance();
        const waiting = this.asked.filter((each) => !each.ids);
        const read = this.asked.filter((each) => each.ids);
        if (what < 0.2) this.post(this.chance() < 0.25);
        else if (what < 0.25) this.remove();
        else if (what < 0.27) this.connected = false;
        else if (what < 0.32) this.reconnect();
        else if (what < 0.52) this.deliver();
        else if (what < 0.65 && waiting.length) this.read(waiting[this.some(waiting.length)]);
        else if (what < 0.78 && read.length) this.answer(read[this.some(read.length)]);
        else this.reader();
        this.ordered();
    }

    rest() {
        this.reconnect();
        for (let turn = 0; this.events.length || this.asked.length; turn += 1) {
            if (turn > 10_000) throw new Error("it never rests");
            if (this.events.length) this.deliver();
            else {
                if (!this.asked[0].ids) this.read(this.asked[0]);
                this.answer(this.asked[0]);
            }
            this.ordered();
        }
    }

    ordered() {
        const { rows, pending } = this.timeline;
        const all = [...pending, ...rows.flatMap((row) => row.ids)];
        for (let at = 1; at < all.length; at += 1) if (this.compare(all[at - 1], all[at]) <= 0) throw new Error(`not newest first: ${all[at - 1]}, ${all[at]}`);
        rows.forEach((row, at) => {
            if (row.gap && (at === 0 || at === rows.length - 1 || rows[at - 1].gap)) throw new Error("a gap at an edge");
            if (!row.gap && !row.ids.length) throw new Error("an empty page");
        });
    }

    /** Nothing is missing but in gaps. */
    whole() {
        const { rows, pending, topKnown, bottomKnown } = this.timeline;
        let above = null;
        const places = [...pending.map((id) => ({ id })), ...rows.flatMap((row) => (row.gap ? [{ gap: true }] : row.ids.map((id) => ({ id }))))];
        if (topKnown && bottomKnown && !places.length && this.posts.length) throw new Error("empty, and isn't");
        if (topKnown && places.length) this.between(null, places[0].id);
        for (const { id, gap } of places) {
            if (above && id) this.between(above, id);
            above = gap ? null : id;
        }
        if (bottomKnown && places.length) this.between(places.at(-1).id, null);
    }

    between(above, below) {
        const lacking = this.posts.filter((id) => !this.late.has(id) && (!above || this.compare(id, above) < 0) && (!below || this.compare(id, below) > 0));
        if (lacking.length) throw new Error(`missing without a gap between ${above} and ${below}: ${lacking}`);
    }

    /** Load all there is. */
    finish() {
        const { timeline } = this;
        for (let turn = 0; ; turn += 1) {
            if (turn > 2000) throw new Error("it never ends");
            this.rest();
            this.whole();
            const gap = timeline.rows.find((row) => row.gap);
            if (!timeline.rows.length && !(timeline.bottomKnown && timeline.topKnown)) this.ask({ purpose: "first" });
            else if (gap) this.askGap(gap.key);
            else if (!timeline.topKnown && timeline.pending.length) timeline.meet(timeline.pending.length);
            else if (!timeline.topKnown) this.ask({ purpose: "newer", min: timeline.top });
            else if (!timeline.bottomKnown) this.ask({ purpose: "older", max: timeline.bottom });
            else break;
        }
        timeline.meet(timeline.pending.length);
        const had = timeline.ids.filter((id) => !this.ghosts.has(id));
        const due = [...this.posts].reverse().filter((id) => had.includes(id) || !this.late.has(id));
        if (had.join() !== due.join()) throw new Error(`has ${had}, not ${due}`);
    }
}

/** Run seeds. @returns {string[]} what went wrong, with its seed */
export function run(it, from, count, steps) {
    const wrong = [];
    for (let seed = from; seed < from + count && wrong.length < 5; seed += 1) {
        let at = 0;
        try {
            const world = new World(it, seed);
            for (; at < steps; at += 1) {
                world.step();
                if (at % 40 === 39) {
                    world.rest();
                    world.whole();
                }
            }
            world.finish();
        } catch (error) {
            wrong.push(`seed ${seed}, step ${at}: ${error.message}`);
        }
    }
    return wrong;
}
