/*
 * What is kept on this device: drafts, their files, what waits to be sent, and (for reading) the newest of home.
 *
 * Rules of this file
 * - One write is one transaction: a draft and its sending are there together, or neither.
 * - A browser that keeps nothing (private windows, policies) or has no room is no reason to lose a word while the page is
 *   open: what it doesn't take stays in memory, and `storage.problem` says so, for the composer to tell.
 * - Signing out removes all of it. Browsers may, too: Safari after seven days without a visit.
 */

/** @typedef {"drafts" | "sendings" | "files" | "kept"} Store */
/** @type {Store[]} */
const STORES = ["drafts", "sendings", "files", "kept"];
const NAME = "rookery";
const KEYS = /** @type {Record<Store, string>} */ ({ drafts: "id", sendings: "id", files: "local", kept: "name" });

/** @type {Promise<IDBDatabase | null> | null} */
let opened = null;
/** What the browser didn't take. @type {Record<Store, Map<string, any>>} */
let memory = { drafts: new Map(), sendings: new Map(), files: new Map(), kept: new Map() };
/** @type {Set<() => void>} */
const watchers = new Set();

/** After signing out nothing is written any more, here and in other tabs: a draft on its way would come back. */
let stopped = false;
const OTHERS = new BroadcastChannel("rookery-storage");
OTHERS.onmessage = () => void clear(false);

export const storage = {
    /** Why what is written isn't kept. @type {"" | "refused" | "full"} */
    problem: "",
    isStopped: () => stopped,
    /** @param {() => void} fn @returns {() => void} */
    onChange(fn) {
        watchers.add(fn);
        return () => watchers.delete(fn);
    },
};

/** @param {"" | "refused" | "full"} problem */
function told(problem) {
    if (storage.problem === problem) return;
    storage.problem = problem;
    for (const fn of watchers) fn();
}

/** @template T @param {IDBRequest<T>} request @returns {Promise<T>} */
function done(request) {
    return new Promise((resolve, reject) => {
        request.onsuccess = () => resolve(request.result);
        request.onerror = () => reject(request.error);
    });
}

/** @returns {Promise<IDBDatabase | null>} */
function open() {
    opened ??= new Promise((resolve) => {
        try {
            const request = indexedDB.open(NAME, 1);
            request.onupgradeneeded = () => {
                for (const name of STORES) request.result.createObjectStore(name, { keyPath: KEYS[name] });
            };
            request.onsuccess = () => {
                request.result.onversionchange = () => forget(request.result);
                request.result.onclose = () => forget(null);
                resolve(request.result);
            };
            request.onerror = () => resolve(null);
        } catch {
            resolve(null);
        }
    }).then((database) => {
        if (!database) told("refused");
        return /** @type {IDBDatabase | null} */ (database);
    });
    return opened;
}

/** @param {IDBDatabase | null} database */
function forget(database) {
    database?.close();
    opened = null;
}

/**
 * Put and remove in one step.
 * @param {[Store, any][]} puts @param {[Store, string][]} [removals]
 * @returns {Promise<boolean>} whether it is kept on the device
 */
export async function write(puts, removals = []) {
    if (stopped) return false;
    for (const [store, key] of removals) memory[store].delete(key);
    const database = await open();
    try {
        if (!database) throw new DOMException("no storage", "InvalidStateError");
        const names = [...new Set([...puts, ...removals].map(([store]) => store))];
        if (!names.length) return true;
        const transaction = database.transaction(names, "readwrite", { durability: "strict" });
        const ended = new Promise((resolve, reject) => {
            transaction.oncomplete = resolve;
            transaction.onabort = transaction.onerror = () => reject(transaction.error);
        });
        for (const [store, key] of removals) transaction.objectStore(store).delete(key);
        for (const [store, value] of puts) transaction.objectStore(store).put(value);
        await ended;
        for (const [store, value] of puts) memory[store].delete(value[KEYS[store]]);
        if (!STORES.some((store) => memory[store].size)) told("");
        return true;
    } catch (error) {
        for (const [store, value] of puts) memory[store].set(value[KEYS[store]], value);
        told(database && error instanceof DOMException && error.name === "QuotaExceededError" ? "full" : "refused");
        return false;
    }
}

/** @param {Store} store @param {string} key @returns {Promise<any>} undefined if it isn't there */
export async function read(store, key) {
    if (memory[store].has(key)) return memory[store].get(key);
    if (stopped) return undefined;
    const database = await open();
    try {
        return database ? await done(database.transaction(store).objectStore(store).get(key)) : undefined;
    } catch {
        return undefined;
    }
}

/** All of a store that is an account's. @param {Store} store @param {string} account @returns {Promise<any[]>} */
export async function readAll(store, account) {
    if (stopped) return [];
    const database = await open();
    /** @type {any[]} */
    let kept = [];
    try {
        if (database) kept = await done(database.transaction(store).objectStore(store).getAll());
    } catch {
        told("refused");
    }
    const all = new Map(kept.map((each) => [each[KEYS[store]], each]));
    for (const [key, value] of memory[store]) all.set(key, value);
    return [...all.values()].filter((each) => each.account === account);
}

/** Somebody is signed in: keep things again. */
export function resume() {
    stopped = false;
}

/** Remove everything, as signing out does. @param {boolean} [tells] whether other tabs are told */
export async function clear(tells = true) {
    stopped = true;
    try {
        sessionStorage.removeItem("rk-composer"); // what this tab was writing
    } catch {
        // Refused: there is nothing in it.
    }
    if (tells) OTHERS.postMessage("clear");
    memory = { drafts: new Map(), sendings: new Map(), files: new Map(), kept: new Map() };
    const database = await open();
    try {
        if (!database) return;
        const transaction = database.transaction(STORES, "readwrite");
        for (const name of STORES) transaction.objectStore(name).clear();
        await new Promise((resolve) => {
            transaction.oncomplete = transaction.onabort = resolve;
        });
        forget(database);
        await new Promise((resolve) => {
            const request = indexedDB.deleteDatabase(NAME);
            request.onsuccess = request.onerror = request.onblocked = resolve;
        });
    } catch {
        forget(null);
    }
}
