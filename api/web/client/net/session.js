/*
 * Who is signed in here: OAuth with PKCE through the server's own pages, as any app does it.
 *
 *     signIn() --verifier, state in sessionStorage--> /oauth/authorize --code--> /signed-in --> token, cookie
 *     begin()  --cookie that no script reads, POST /oauth/web/token--> token
 *
 * Rules of this file
 * - The token is in a variable of this module: in no storage, address or document.
 * - Other tabs hear of signing in and out, and load themselves anew.
 * - Where nobody answers, who was here last is still here, without a token: he reads what is kept, and writes what waits.
 */

import { facts } from "../base/facts.js";
import { holdRequests, onUnauthorised, useToken } from "./api.js";

const CLIENT_ID = "rookery-web";
const SCOPE = "read write follow push";
const WEB = { "rookery-web": "1" };
const PLACE = "rookery-sign-in";
const channel = new BroadcastChannel("rookery-session");

let known = "";
/** @type {any} */
let account = null;
/** @type {Set<() => void>} */
const watchers = new Set();

/** The token, for requests alone. */
export const token = () => known;

/** @param {string} path @param {RequestInit} init @returns {Promise<any>} JSON, or null */
async function ask(path, init) {
    try {
        const response = await fetch(path, { credentials: "same-origin", ...init });
        return response.ok ? await response.json() : null;
    } catch {
        return null;
    }
}

/** @param {any} given @returns {Promise<boolean>} */
async function take(given) {
    if (!given?.access_token) return false;
    known = given.access_token;
    account = given.account ?? (await ask("/api/v1/accounts/verify_credentials", { headers: { authorization: `Bearer ${known}` } }));
    if (!account) known = "";
    useToken(known);
    tell();
    if (account) void import("./database.js").then(({ write }) => write([["kept", { name: "account", account: account.id, value: account }]]));
    return Boolean(account);
}

/** Nobody answered: go on as who was here last, and ask again. @param {number} pauseMs */
async function goOn(pauseMs) {
    const { read } = await import("./database.js");
    account = (await read("kept", "account"))?.value ?? null;
    holdRequests(account !== null);
    const again = () => {
        clearTimeout(timer);
        removeEventListener("online", again);
        void session.begin(Math.min(60_000, pauseMs * 2));
    };
    const timer = setTimeout(again, pauseMs);
    addEventListener("online", again);
}

function tell() {
    for (const watcher of [...watchers]) watcher();
}

/** @param {Uint8Array} bytes */
const base64url = (bytes) => btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");

/** Go to the server's pages and come back signed in. @param {boolean} asNew whether to make an account */
async function leaveFor(asNew) {
    const verifier = base64url(crypto.getRandomValues(new Uint8Array(32)));
    const state = base64url(crypto.getRandomValues(new Uint8Array(16)));
    const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(verifier));
    const back = location.pathname === "/signed-in" ? "/" : location.pathname + location.search;
    sessionStorage.setItem(PLACE, JSON.stringify({ verifier, state, back }));
    const asked = new URLSearchParams({
        response_type: "code", client_id: CLIENT_ID, redirect_uri: `${location.origin}/signed-in`, scope: SCOPE, state,
        code_challenge: base64url(new Uint8Array(digest)), code_challenge_method: "S256",
    });
    const address = `/oauth/authorize?${asked}`;
    location.assign(asNew ? `/auth/sign_up?next=${encodeURIComponent(address)}` : address);
}

export const session = {
    /** @returns {any} the account, with its private facts; null: nobody is signed in */
    get account() {
        return account;
    },
    token,
    /** Whether a browser lets us sign in here: it keeps what that needs to https and localhost. */
    get canSignIn() {
        return facts.auth !== "open" && Boolean(globalThis.crypto?.subtle);
    },
    /** Find out who is signed in. @param {number} [pauseMs] before it is asked again, if nobody answers */
    async begin(pauseMs = 2000) {
        if (facts.auth === "open" || known) return;
        const given = await ask("/oauth/web/token", { method: "POST", headers: WEB });
        const waited = account !== null;
        holdRequests(false);
        if (await take(given)) {
            if (waited) dispatchEvent(new Event("online")); // whoever waits for the network may go on
        } else if (!given) await goOn(pauseMs);
        else if (waited) location.reload(); // he isn't signed in any more
    },
    signIn: () => leaveFor(false),
    signUp: () => leaveFor(true),
    /**
     * Take what the server's pages sent us back with.
     * @param {URLSearchParams} query
     * @returns {Promise<{back: string} | {trouble: string}>}
     */
    async finish(query) {
        let kept = null;
        try {
            kept = JSON.parse(sessionStorage.getItem(PLACE) ?? "null");
        } catch {
            // Somebody else's: as none.
        }
        sessionStorage.removeItem(PLACE);
        if (!kept || query.get("state") !== kept.state) return { trouble: "state" };
        const code = query.get("code");
        if (!code) return { trouble: query.get("error") ?? "code" };
        const body = new URLSearchParams({
            grant_type: "authorization_code", client_id: CLIENT_ID, code, redirect_uri: `${location.origin}/signed-in`, code_verifier: kept.verifier,
        });
        if (!(await take(await ask("/oauth/token", { method: "POST", headers: WEB, body })))) return { trouble: "exchange" };
        channel.postMessage("changed");
        return { back: typeof kept.back === "string" && kept.back.startsWith("/") && !kept.back.startsWith("//") ? kept.back : "/" };
    },
    /** Whose token that is; nothing is kept. @param {string} given @returns {Promise<any>} */
    whose: (given) => ask("/api/v1/accounts/verify_credentials", { headers: { authorization: `Bearer ${given}` } }),
    /** Go on with a token that somebody was given. @param {string} given */
    async adopt(given) {
        const done = await take(await ask("/oauth/web/token", { method: "PUT", headers: { ...WEB, authorization: `Bearer ${given}` } }));
        if (done) channel.postMessage("changed");
        return done;
    },
    /** End it, here and at the server, with all that was kept of it on the device. */
    async signOut() {
        try {
            await fetch("/oauth/web/token", { method: "DELETE", credentials: "same-origin", headers: WEB });
        } finally {
            known = "";
            account = null;
            useToken("");
            const { forgetAll } = await import("./sending.js");
            await forgetAll();
            channel.postMessage("changed");
            tell();
        }
    },
    /** @param {() => void} watcher @returns {() => void} */
    onChange(watcher) {
        watchers.add(watcher);
        return () => watchers.delete(watcher);
    },
};

channel.addEventListener("message", () => location.reload());

// Refused, with our token: only if it is for nothing any more has the session ended (a wrong password is refused, too).
let doubting = false;
onUnauthorised(async (used) => {
    if (doubting || !used || used !== known) return;
    doubting = true;
    const answer = await fetch("/api/v1/accounts/verify_credentials", { headers: { authorization: `Bearer ${used}` } }).catch(() => null);
    doubting = false;
    if (answer?.status === 401 && used === known) location.reload(); // drafts are kept
});
