/*
 * The store beside its definition, by seeded orders: what one knows of an id is all that was told of it, the newest last;
 * it is bounded, what is watched goes last, and watchers hear of each change.
 */

/** @param {number} seed @returns {() => number} */
function random(seed) {
    let a = seed;
    return () => {
        a = (Math.imul(a, 1664525) + 1013904223) >>> 0;
        return a / 4294967296;
    };
}

/** @returns {string[]} what went wrong, with its seed */
export function run({ Store, STATUSES_MAX }, from, count) {
    const wrong = [];
    for (let seed = from; seed < from + count; seed += 1) {
        const chance = random(seed);
        const some = (most) => Math.floor(chance() * most);
        const store = new Store();
        const told = new Map(); // id -> all that was said, laid over each other
        const heard = new Map();
        const stops = [];
        for (let step = 0; step < 300; step += 1) {
            const id = String(some(40));
            const what = some(6);
            if (what < 3) {
                const status = { id, account: { id: `a${some(5)}` }, [["favourited", "content", "reblogs_count"][some(3)]]: some(100) };
                if (some(5) === 0) status.reblog = { id: `r${some(9)}`, account: { id: "a" }, content: some(100) };
                for (const each of [status.reblog, status]) if (each) told.set(each.id, { ...told.get(each.id), ...each });
                store.takeStatuses([status]);
            } else if (what === 3 && told.has(id)) {
                told.set(id, { ...told.get(id), pinned: step });
                store.patch(id, { pinned: step });
            } else if (what === 4) {
                told.delete(id);
                store.remove(id);
                if (heard.has(id)) heard.set(id, null);
            } else if (!heard.has(id)) {
                heard.set(id, store.status(id) ?? null);
                stops.push(store.watch(id, (status) => heard.set(id, status)));
            }
            for (const [each, said] of told) if (JSON.stringify(store.status(each)) !== JSON.stringify(said)) wrong.push(`seed ${seed}, step ${step}: ${each}`);
            for (const [each, status] of heard) if (status !== null && status !== store.status(each)) wrong.push(`seed ${seed}, step ${step}: watcher of ${each}`);
        }
        for (const stop of stops) stop();
    }
    const store = new Store();
    store.watch("0", () => {});
    for (let at = 0; at < STATUSES_MAX + 500; at += 1) store.takeStatuses([{ id: String(at), account: { id: "a" } }]);
    if (store.size !== STATUSES_MAX) wrong.push(`bounded: ${store.size}`);
    if (!store.status("0")) wrong.push("what is watched has gone");
    if (store.status("1") || !store.status(String(STATUSES_MAX))) wrong.push("the oldest goes first");
    return wrong;
}
