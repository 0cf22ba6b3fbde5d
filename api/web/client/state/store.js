/*
 * What is known of statuses and accounts, once each, however many lists show them. Pure: no DOM, clock or network.
 *
 * Rules of this file
 * - A status that comes again replaces the one before, and whoever watches its id is told.
 * - The newest STATUSES_MAX that were taken are kept, beside those that are watched; accounts twice as many.
 */

export const STATUSES_MAX = 2000;
const ACCOUNTS_MAX = 4000;

/** @typedef {any} Status the API's entity */
/** @typedef {any} Account the API's entity */

export class Store {
    constructor() {
        /** @type {Map<string, Status>} */
        this.statuses = new Map();
        /** @type {Map<string, Account>} */
        this.accounts = new Map();
        /** @type {Map<string, Set<(status: Status | null) => void>>} */
        this.watchers = new Map();
    }

    /** @param {Status[]} list */
    takeStatuses(list) {
        for (const status of list) this.#take(status);
        this.#shrink();
    }

    /** @param {Account[]} list */
    takeAccounts(list) {
        for (const account of list) {
            this.accounts.delete(account.id);
            this.accounts.set(account.id, account);
        }
        for (const id of this.accounts.keys()) {
            if (this.accounts.size <= ACCOUNTS_MAX) break;
            this.accounts.delete(id);
        }
    }

    /** @param {string} id @returns {Status | undefined} */
    status(id) {
        return this.statuses.get(id);
    }

    /** @param {string} id @returns {Account | undefined} */
    account(id) {
        return this.accounts.get(id);
    }

    /** Change what is known of a status. @param {string} id @param {Partial<Status>} facts */
    patch(id, facts) {
        const known = this.statuses.get(id);
        if (!known) return;
        this.statuses.set(id, { ...known, ...facts });
        this.#tell(id);
        for (const [other, status] of this.statuses) {
            if (status.reblog?.id === id) this.statuses.set(other, { ...status, reblog: this.statuses.get(id) });
        }
    }

    /** A status is gone. @param {string} id */
    drop(id) {
        this.statuses.delete(id);
        for (const fn of this.watchers.get(id) ?? []) fn(null);
    }

    /**
     * Be told of a status when it changes; null: it is gone.
     * @param {string} id
     * @param {(status: Status | null) => void} fn
     * @returns {() => void} what ends that
     */
    watch(id, fn) {
        let watching = this.watchers.get(id);
        if (!watching) this.watchers.set(id, (watching = new Set()));
        watching.add(fn);
        return () => {
            watching.delete(fn);
            if (!watching.size && this.watchers.get(id) === watching) this.watchers.delete(id);
        };
    }

    /** Forget everything: somebody else is here. */
    clear() {
        this.statuses.clear();
        this.accounts.clear();
    }

    /** @param {Status} status */
    #take(status) {
        for (const inner of [status.reblog, status.quote?.quoted_status]) if (inner) this.#take(inner);
        if (status.account) this.takeAccounts([status.account]);
        const known = this.statuses.has(status.id);
        this.statuses.delete(status.id);
        this.statuses.set(status.id, status);
        if (known) this.#tell(status.id);
    }

    /** @param {string} id */
    #tell(id) {
        for (const fn of [...(this.watchers.get(id) ?? [])]) fn(this.statuses.get(id) ?? null);
    }

    #shrink() {
        if (this.statuses.size <= STATUSES_MAX) return;
        for (const id of this.statuses.keys()) {
            if (this.statuses.size <= STATUSES_MAX) break;
            if (!this.watchers.has(id)) this.statuses.delete(id);
        }
    }
}

export const store = new Store();
