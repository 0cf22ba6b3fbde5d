/*
 * What the page knows of statuses and accounts: one object an id, and who wants to hear of its changes.
 *
 *     pages, streams, actions --takeStatuses--> by id --> watchers: each patches its own spots
 *
 * Rules of this file
 * - Pure: no document, clock or network. What is new is laid over what was known, so an event that says less
 *   (a stream's status has no flags of the reader's) loses nothing.
 * - Bounded: STATUSES_MAX and ACCOUNTS_MAX; what was taken or asked for longest ago goes first, what is watched last.
 */

/** @typedef {Record<string, any>} Status */
/** @typedef {Record<string, any>} Account */

export const STATUSES_MAX = 2000;
export const ACCOUNTS_MAX = 2000;

/** @template T @param {Map<string, T>} map @param {number} most @param {(id: string) => boolean} wanted */
function bound(map, most, wanted) {
    if (map.size <= most) return;
    for (const id of map.keys()) {
        if (!wanted(id)) map.delete(id);
        if (map.size <= most) return;
    }
    for (const id of map.keys()) {
        map.delete(id);
        if (map.size <= most) return;
    }
}

export class Store {
    /** @type {Map<string, Status>} */ #statuses = new Map();
    /** @type {Map<string, Account>} */ #accounts = new Map();
    /** @type {Map<string, Set<(status: Status | null) => void>>} */ #watchers = new Map();

    get size() {
        return this.#statuses.size;
    }

    /** @param {Status[]} list */
    takeStatuses(list) {
        for (const each of list) this.#take(each, 0);
        bound(this.#statuses, STATUSES_MAX, (id) => this.#watchers.has(id));
        bound(this.#accounts, ACCOUNTS_MAX, () => false);
    }

    /** @param {Status} status @param {number} depth */
    #take(status, depth) {
        if (!status?.id || depth > 3) return;
        if (status.account) this.#putAccount(status.account);
        if (status.reblog) this.#take(status.reblog, depth + 1);
        if (status.quote?.quoted_status) this.#take(status.quote.quoted_status, depth + 1);
        this.#put({ ...this.#statuses.get(status.id), ...status });
    }

    /** @param {Status} status */
    #put(status) {
        this.#statuses.delete(status.id);
        this.#statuses.set(status.id, status);
        this.#tell(status.id, status);
    }

    /** @param {string} id @param {Status | null} status */
    #tell(id, status) {
        for (const fn of [...(this.#watchers.get(id) ?? [])]) fn(status);
    }

    /** Change some of a status that is known. @param {string} id @param {Status} fields */
    patch(id, fields) {
        const known = this.#statuses.get(id);
        if (known) this.#put({ ...known, ...fields });
    }

    /** A status is no more; watchers hear null. @param {string} id */
    remove(id) {
        this.#statuses.delete(id);
        this.#tell(id, null);
    }

    /** @param {string} id @returns {Status | undefined} */
    status(id) {
        const known = this.#statuses.get(id);
        if (known) {
            this.#statuses.delete(id);
            this.#statuses.set(id, known);
        }
        return known;
    }

    /** @param {Account[]} list */
    takeAccounts(list) {
        for (const each of list) this.#putAccount(each);
        bound(this.#accounts, ACCOUNTS_MAX, () => false);
    }

    /** @param {Account} account */
    #putAccount(account) {
        this.#accounts.delete(account.id);
        this.#accounts.set(account.id, account);
    }

    /** @param {string} id @returns {Account | undefined} */
    account(id) {
        return this.#accounts.get(id);
    }

    /** Hear of a status' changes; null: it is no more. @param {string} id @param {(status: Status | null) => void} fn @returns {() => void} */
    watch(id, fn) {
        const those = this.#watchers.get(id) ?? new Set();
        this.#watchers.set(id, those.add(fn));
        return () => {
            those.delete(fn);
            if (!those.size && this.#watchers.get(id) === those) this.#watchers.delete(id);
        };
    }

    /** Forget all, at signing in and out. */
    clear() {
        this.#statuses.clear();
        this.#accounts.clear();
    }
}

/** The page's one. */
export const store = new Store();
