/*
 * The outbox beside a model of the server, by seeded orders of events: lost requests, lost answers, restarts, two tabs
 * without locks, refusals, signing out, pauses of more than a day.
 *
 * A world is one device (storage, two tabs) and one server that knows keys for a day. What must hold after each event:
 * a draft is one post at most, with the words that it had; it is in storage until it is posted or refused. At the end,
 * with a good network, all are posted but those that the server refuses.
 */

const DAY_MS = 24 * 3600 * 1000;

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

class Server {
    posts = [];
    times = new Map(); // text -> how often it was posted
    keys = new Map();
    signedIn = true;

    /** Answer as `api.send` would; a known key answers what it made, before anything else is looked at. */
    take(body, key, now) {
        if (!this.signedIn) return failed(401);
        const known = this.keys.get(key);
        if (known && now - known.at <= DAY_MS) return { ok: true, body: known.post };
        if (body.status.startsWith("bad")) return failed(422);
        const post = { id: String(this.posts.length + 1), text: body.status, media: body.media_ids };
        this.posts.push(post);
        this.times.set(post.text, 1 + (this.times.get(post.text) ?? 0));
        this.keys.set(key, { post, at: now });
        return { ok: true, body: post };
    }
}

function failed(status, retryAfterS = 0) {
    return { ok: false, kind: "x", status, message: `no ${status}`, requestId: "", retryAfterS };
}

class World {
    constructor(outbox, seed) {
        this.outbox = outbox;
        this.chance = random(seed);
        this.now = 1_000_000;
        this.server = new Server();
        this.storage = new Map();
        this.wanted = new Map(); // draft -> its words
        this.flying = []; // requests: {tab, sending, reached, answer}
        this.keyCount = 0;
        this.asked = 0; // posts that the writer himself took the risk for
    }

    key() {
        return `key-${++this.keyCount}`;
    }

    pick(list) {
        return list[Math.floor(this.chance() * list.length)];
    }

    put(sending) {
        this.storage.set(sending.id, { ...sending });
    }

    write() {
        const id = `draft-${this.wanted.size + 1}`;
        const text = `${this.chance() < 0.15 ? "bad" : "good"} ${id}`;
        this.wanted.set(id, text);
        this.put(this.outbox.queued({ id, account: "1", key: this.key(), body: { status: text } }, this.now));
    }

    /** A tab takes something up. Another tab's "sending" is taken up too, as where there are no locks. */
    begin() {
        const due = [...this.storage.values()].map((each) => this.outbox.restarted(each, this.now)).filter((each) => this.outbox.isDue(each, this.now));
        if (!due.length || this.flying.length > 3) return;
        let sending = this.outbox.begun(this.pick(due), this.now);
        this.put(sending);
        if (sending.state !== "sending") return;
        if (this.chance() < 0.1) return; // the page dies before the request leaves
        if (!sending.tried && this.chance() < 0.2) return this.settle(sending, failed(0)); // an upload finds no network
        sending = this.outbox.leaving(sending, { ...sending.body, media_ids: [`m${Math.floor(this.chance() * 1e6)}`] }, this.now);
        this.put(sending);
        const reached = this.chance() < 0.8;
        let answer = failed(0);
        if (reached) {
            const busy = this.chance();
            if (busy < 0.05) answer = failed(429, 5);
            else answer = this.server.take(sending.body, sending.key, this.now);
            if (busy > 0.9) answer = failed(busy > 0.95 ? 503 : 502, 2);
        }
        this.flying.push({ sending, answer: this.chance() < 0.25 ? failed(0) : answer });
    }

    land() {
        if (!this.flying.length) return;
        const [{ sending, answer }] = this.flying.splice(Math.floor(this.chance() * this.flying.length), 1);
        this.settle(sending, answer);
    }

    settle(sending, answer) {
        const kept = this.storage.get(sending.id);
        const next = this.outbox.answered(sending, answer, this.now, this.chance());
        if (!next) this.storage.delete(sending.id);
        else if (kept && kept.key === sending.key && kept.state !== "refused") this.put(next);
    }

    /** All pages die, requests under way go on or not; nobody hears their answers. */
    restart() {
        this.flying = [];
        for (const each of this.storage.values()) this.put(this.outbox.restarted(each, this.now));
    }

    wait() {
        this.now += this.chance() < 0.03 ? DAY_MS + 1 : Math.floor(this.chance() * 40_000);
    }

    sign() {
        this.server.signedIn = !this.server.signedIn || this.chance() < 0.5;
        if (this.server.signedIn) for (const each of this.storage.values()) this.put(this.outbox.released(each, this.now));
    }

    /** The writer looks for a post that nobody is sure of, and sends it again only if it isn't there. */
    decide() {
        for (const each of this.storage.values()) {
            if (each.state !== "unsure") continue;
            if (this.server.times.has(each.body.status)) this.storage.delete(each.id);
            else this.put(this.outbox.again(each, this.key(), this.now));
        }
    }

    check() {
        for (const [id, text] of this.wanted) {
            const posts = this.server.times.get(text) ?? 0;
            const kept = this.storage.get(id);
            if (posts > 1) throw new Error(`${id} was posted ${posts} times`);
            if (!posts && !kept) throw new Error(`${id} is lost`);
            if (kept?.state === "refused" && posts) throw new Error(`${id} is posted, and said to be refused`);
            if (kept && kept.body.status !== text) throw new Error(`${id} has other words`);
            if (posts && text.startsWith("bad")) throw new Error(`${id} should have been refused`);
        }
    }
}

/**
 * Live through one order of events. Throws what is wrong.
 * @param {any} outbox the module @param {number} seed
 */
export function live(outbox, seed) {
    const world = new World(outbox, seed);
    const events = ["write", "begin", "begin", "begin", "land", "land", "land", "wait", "wait", "restart", "sign", "decide"];
    for (let n = 0; n < 120; n++) {
        world[world.pick(events)]();
        world.check();
    }
    world.server.signedIn = true;
    world.restart();
    for (let n = 0; n < 4000 && [...world.storage.values()].some((each) => each.state !== "refused"); n++) {
        for (const each of world.storage.values()) world.put(outbox.released(each, world.now));
        world.now += 90_000;
        world.decide();
        world.begin();
        world.land();
        world.check();
    }
    for (const each of world.storage.values()) {
        if (!each.body.status.startsWith("bad")) throw new Error(`${each.id} was never posted: ${JSON.stringify(each)}`);
    }
    return world.server.posts.length;
}
