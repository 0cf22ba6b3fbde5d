/*
 * Search: people, hashtags and posts, in the language of docs/search.md.
 *
 *     what is typed --200 ms--> suggestions (a combobox) ; sent --> the address --> lists
 *
 * Rules of this file
 * - The address says what is searched; the field is its form. Typing searches nothing but suggestions.
 * - What a shard didn't answer is said (partial), as are a corrected query, and why a text can't be read as one.
 * - Suggestions complete the word at the caret: a name, a hashtag, or an operator of the language.
 */

import { element, html } from "../base/html.js";
import { api } from "../net/api.js";
import { accountRow, names, placeOf } from "../parts/account.js";
import { avatar } from "../parts/avatar.js";
import { tabs } from "../parts/form.js";
import { listed, posts as allPosts } from "../parts/listed.js";
import { navigate } from "../routes.js";
import { words as w } from "../words/places.js";
import { tagRow } from "./explore.js";

const TYPED_MS = 200;
let count = 0; // of ids
const PATH = "/api/v2/search";
/** The language, as help and suggestions show it: what is written, and what it finds. */
export const LANGUAGE = /** @type {[string, string][]} */ ([
    ["blue whale", w.finds.words], ['"blue whale"', w.finds.phrase], ["whale OR dolphin", w.finds.or], ["whale -blue", w.finds.not],
    ["(whale OR dolphin) blue", w.finds.group], ["whal*", w.finds.prefix], ["#ocean", w.finds.tag], ["$TSLA", w.finds.cash], ["@ada", w.finds.mention],
    ["from:ada", w.finds.from], ["to:ada", w.finds.to], ["lang:de", w.finds.lang], ["since:2026-01-31", w.finds.since], ["until:2026-01-31", w.finds.until],
    ["has:media", w.finds.media], ["has:links", w.finds.links], ["has:image", w.finds.image], ["has:video", w.finds.video], ["has:audio", w.finds.audio],
    ["has:alt", w.finds.alt], ["is:reply", w.finds.reply], ["is:repost", w.finds.repost], ["min_likes:10", w.finds.likes], ["filter:follows", w.finds.follows],
]);

/** @param {{query: Record<string, string>}} where */
export default function screen({ query }) {
    const asked = (query.q ?? "").trim();
    const part = query.part ?? "all";
    const list = document.createElement("div");
    const made = /** @type {Search} */ (document.createElement("rk-search"));
    made.asked = asked;
    const show = (/** @type {string} */ name) => list.replaceChildren(...found(asked, name));
    const base = `/search?q=${encodeURIComponent(asked)}`;
    const each = ["all", "posts", "people", "tags"].map((name) => ({ name, label: w.searched[name], href: name === "all" ? base : `${base}&part=${name}` }));
    if (asked) show(part);
    else list.replaceChildren(help(true));
    return { element: element(html`<div>${made}${asked && tabs(w.search, each, part, show)}${list}</div>`), title: asked ? w.searchOf(asked) : w.search };
}

/** @param {boolean} open */
function help(open) {
    const rows = LANGUAGE.map(([written, finds]) => html`<div><dt><a href=${`/search?q=${encodeURIComponent(written)}`}><code>${written}</code></a></dt><dd>${finds}</dd></div>`);
    return element(html`<details class="rk-help" ?open=${open}><summary>${w.searchHelp}</summary><dl>${rows}</dl></details>`);
}

/** @param {string} asked @param {string} part @returns {HTMLElement[]} */
function found(asked, part) {
    if (part === "people") return [listOf("accounts", asked, (item) => accountRow(item))];
    if (part === "tags") return [listOf("hashtags", asked, tagRow)];
    if (part === "posts") return [...posts(asked), help(false)];
    const all = element(html`<div aria-busy="true"></div>`);
    best(asked).then((found) => {
        all.append(...found, ...posts(asked), help(false));
        all.ariaBusy = null;
    });
    return [all];
}

/** Some people and hashtags, at once: what stands below them doesn't move. @param {string} asked @returns {Promise<HTMLElement[]>} */
async function best(asked) {
    const [people, tags] = await Promise.all(["accounts", "hashtags"].map((type) => api.get(PATH, { q: asked, type, limit: 3 })));
    const rows = (/** @type {any} */ answer, /** @type {string} */ name, /** @type {(item: any) => HTMLElement} */ make) => (answer.ok ? answer.body[name].map(make) : []);
    const parts = [[w.searched.people, rows(people, "accounts", (item) => accountRow(item))], [w.searched.tags, rows(tags, "hashtags", tagRow)]];
    const shown = parts.filter(([, items]) => items.length).flatMap(([title, items]) => [element(html`<h2>${title}</h2>`), ...items]);
    return shown.length ? [...shown, element(html`<h2>${w.searched.posts}</h2>`)] : [];
}

/** @param {"accounts" | "hashtags"} type @param {string} asked @param {(item: any) => HTMLElement} make */
function listOf(type, asked, make) {
    return listed(`search ${type} ${asked}`, w.noneFound, make, {
        load: async (/** @type {any} */ query) => {
            const offset = Number(query.offset ?? 0);
            const answer = await api.get(PATH, { q: asked, type, limit: 20, offset });
            if (!answer.ok) return answer;
            const body = answer.body[type];
            return { ...answer, body, prev: null, next: body.length === 20 ? { offset: offset + 20 } : null };
        },
    });
}

/** @param {string} asked */
function posts(asked) {
    const notes = element(html`<div class="rk-notes" aria-live="polite"></div>`);
    const list = allPosts(`search ${asked}`, w.noPostsFound, {
        load: async (/** @type {any} */ query) => {
            const answer = await api.get(PATH, { q: asked, type: "statuses", limit: 20, ...query });
            if (!answer.ok) return answer;
            const body = answer.body.statuses;
            const [corrected, why] = ["Rookery-Corrected", "Rookery-Unread"].map((name) => decodeURIComponent(answer.header(name) ?? ""));
            if (corrected) notes.replaceChildren(element(html`<p>${w.searchedInstead} <bdi>${corrected}</bdi></p>`));
            if (why) notes.replaceChildren(element(html`<p role="alert">${why}</p>`));
            return { ...answer, body, prev: null, next: body.length ? { max_id: body[body.length - 1].id, ...(corrected && { q: corrected }) } : null };
        },
    });
    return [notes, list];
}

class Search extends HTMLElement {
    asked = "";
    #timer = 0;
    #at = -1;
    #abort = new AbortController();
    /** @type {HTMLInputElement} */ #input = /** @type {any} */ (null);
    #id = `rk-suggestions-${(count += 1)}`;
    #list = element(html`<ul role="listbox" id=${this.#id} aria-label=${w.suggestions} hidden></ul>`);

    connectedCallback() {
        const send = (/** @type {Event} */ event) => {
            event.preventDefault();
            const wanted = this.#input.value.trim();
            if (wanted) navigate(`/search?q=${encodeURIComponent(wanted)}`);
        };
        this.#input = /** @type {HTMLInputElement} */ (
            element(html`<input type="search" name="q" value=${this.asked} maxlength="500" dir="auto" autocomplete="off" autocapitalize="none" enterkeyhint="search" role="combobox" aria-expanded="false" aria-controls=${this.#id} aria-autocomplete="list" @input=${() => this.#typed()} @keydown=${(/** @type {KeyboardEvent} */ event) => this.#key(event)} @blur=${() => this.#close()}>`)
        );
        const form = html`<form class="rk-find" role="search" action="/search" @submit=${send}><label class="rk-field"><span class="hidden">${w.search}</span>${this.#input}</label><button class="primary">${w.search}</button></form>`;
        this.replaceChildren(element(form), this.#list);
        if (!this.asked) this.#input.focus({ preventScroll: true });
    }

    disconnectedCallback() {
        clearTimeout(this.#timer);
        this.#abort.abort();
    }

    /** The word that is being typed, and where it begins. @returns {[string, number]} */
    #word() {
        const before = this.#input.value.slice(0, this.#input.selectionStart ?? undefined);
        const begin = Math.max(before.lastIndexOf(" "), before.lastIndexOf("("), before.lastIndexOf("-")) + 1;
        return [before.slice(begin), begin];
    }

    #typed() {
        clearTimeout(this.#timer);
        this.#timer = setTimeout(() => this.#suggest(), TYPED_MS);
    }

    async #suggest() {
        this.#abort.abort();
        this.#abort = new AbortController();
        const { signal } = this.#abort;
        const [word, begin] = this.#word();
        const alone = begin === 0 && !this.#input.value.includes(" ");
        const [, field = "", name = ""] = /^(from:|to:|mentions:|@)?(.*)$/.exec(word) ?? [];
        const tag = word.startsWith("#");
        /** @type {Node[]} */
        const options = [];
        if (word.length < 2) return this.#close();
        try {
            const wants = { q: tag ? word : `@${name}`, limit: 4 };
            const people = !tag && name && (field || alone) ? await api.get("/api/v1/accounts/search", wants, { signal }) : null;
            const tags = tag || (alone && !field) ? await api.get(PATH, { q: tag ? word : `#${word}`, type: "hashtags", limit: 4 }, { signal }) : null;
            if (people?.ok) for (const each of people.body) options.push(this.#option(html`${avatar(each, { size: "small" })}${names(each)}`, `${field || "@"}${each.acct}`, begin, field ? "" : placeOf(each)));
            if (tags?.ok) for (const each of tags.body.hashtags) options.push(this.#option(`#${each.name}`, `#${each.name}`, begin, alone ? `/tags/${encodeURIComponent(each.name)}` : ""));
        } catch (error) {
            if (signal.aborted) return;
            throw error;
        }
        if (!tag) {
            const begins = LANGUAGE.filter(([written]) => /^[a-z_]+:/.test(written) && written.startsWith(word) && written !== word);
            for (const [written, finds] of begins.slice(0, 4)) options.push(this.#option(html`<code>${written}</code> ${finds}`, /^(from|to|lang|since|until|min_likes):/.test(written) ? written.replace(/:.*/, ":") : written, begin, ""));
        }
        this.#at = -1;
        this.#list.replaceChildren(...options);
        this.#expand(options.length > 0);
    }

    /** @param {unknown} shown @param {string} word @param {number} begin @param {string} href where it leads, else it completes */
    #option(shown, word, begin, href) {
        const take = () => {
            if (href) return navigate(href);
            const { value } = this.#input;
            const end = this.#input.selectionStart ?? value.length;
            this.#input.setRangeText(word.endsWith(":") ? word : `${word} `, begin, end, "end");
            this.#close();
            this.#input.focus();
        };
        const down = (/** @type {Event} */ event) => event.preventDefault(); // the field keeps the focus
        return element(html`<li role="option" id=${`rk-option-${(count += 1)}`} aria-selected="false" @pointerdown=${down} @click=${take}>${shown}</li>`);
    }

    /** @param {boolean} open */
    #expand(open) {
        this.#list.hidden = !open;
        this.#input.setAttribute("aria-expanded", String(open));
        if (!open) this.#input.removeAttribute("aria-activedescendant");
    }

    #close() {
        clearTimeout(this.#timer);
        this.#abort.abort();
        this.#expand(false);
    }

    /** @param {KeyboardEvent} event */
    #key(event) {
        const options = /** @type {HTMLElement[]} */ ([...this.#list.children]);
        if (this.#list.hidden || event.isComposing) return;
        if (event.key === "Escape") this.#close();
        else if (event.key === "Enter" && this.#at >= 0) options[this.#at].click();
        else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
            this.#at = (this.#at + (event.key === "ArrowDown" ? 1 : -1) + options.length + (this.#at < 0 && event.key === "ArrowUp" ? 1 : 0)) % options.length;
            options.forEach((each, at) => each.setAttribute("aria-selected", String(at === this.#at)));
            this.#input.setAttribute("aria-activedescendant", options[this.#at].id);
            options[this.#at].scrollIntoView({ block: "nearest" });
        } else return;
        event.preventDefault();
    }
}
customElements.define("rk-search", Search);
