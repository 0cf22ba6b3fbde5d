/*
 * The composer: one element for the page's life, in which everything is written.
 *
 *     in #dock, above the screen:  docked (home from 900 px, /compose)  <-- attribute `open`
 *     compose({...}):              modal: a dialog, or the whole of a small screen  <-- showModal()
 *
 * Rules of this file
 * - It is never moved, made anew or thrown away: navigation and turning the phone change CSS alone (styles/writing.css).
 * - What is written is kept 500 ms after a key and when the page is hidden, and is found again after a reload or a crash.
 *   A draft is open in one tab at a time (a Web Lock); another tab begins another.
 * - Closing loses nothing: what has words is a draft. Sending hands the draft to the outbox and begins another.
 */

import { fill } from "../base/fill.js";
import { element, html } from "../base/html.js";
import { api } from "../net/api.js";
import { read, readAll, storage, write } from "../net/database.js";
import { newKey, outbox, removeDraft } from "../net/sending.js";
import { session } from "../net/session.js";
import { codeName, countOf, verdictOf } from "../state/counting.js";
import {
    isUntouched, newDraft, quoting, replying, rewriting, sharedText, VISIBILITIES, withoutAlt,
} from "../state/drafts.js";
import { words } from "../words/writing.js";
import { completing } from "./completing.js";
import { confirmBox } from "./dialog.js";
import { Picker } from "./picker.js";
import { newPoll, pollEditor } from "./poll.js";
import { onKey } from "./shortcuts.js";
import { signButton } from "./sign.js";
import { toast } from "./toast.js";

/** @typedef {import("../state/drafts.js").Draft} Draft */
/** @typedef {{replyTo?: any, quote?: any, edit?: any, redraft?: any, draft?: Draft, text?: string, visibility?: string}} Asked */

const SAVE_MS = 500;
const OPEN = "rk-composer";
const RELOAD_MS = 1500;
const number = new Intl.NumberFormat();
const LANGUAGES = "ar bg bn ca cs da de el en eo es et eu fa fi fr ga gl he hi hr hu id is it ja ka ko lt lv ml mn ms nb nl nn pa pl pt ro ru sk sl sq sr sv ta te th tr uk ur vi zh".split(" ");
/** What holds until the server has told its own. */
const USUAL = {
    statuses: { max_characters: 280, max_media_attachments: 4 },
    media_attachments: null, polls: { max_options: 4, max_characters_per_option: 50 },
};

/** @typedef {{id?: string, open?: boolean, draft?: Draft}} Tab what this tab had: its draft, whole where the page was left */

/** Keep something about this tab for its next life; storage may be refused. @param {Tab} [value] @returns {Tab} */
function tab(value) {
    try {
        if (value) sessionStorage.setItem(OPEN, JSON.stringify(value));
        return JSON.parse(sessionStorage.getItem(OPEN) ?? "{}");
    } catch {
        return {};
    }
}

/** The languages in the reader's words, his own first. */
function languageRows() {
    const names = new Intl.DisplayNames(undefined, { type: "language" });
    const own = navigator.languages.map((each) => each.split("-")[0]);
    const rest = LANGUAGES.map((code) => ({ code, name: names.of(code) ?? code })).sort((a, b) => a.name.localeCompare(b.name));
    return [...new Set(own)].map((code) => ({ code, name: names.of(code) ?? code })).concat(rest.filter(({ code }) => !own.includes(code)));
}

class Composer extends HTMLElement {
    /** @type {Draft} */
    draft = newDraft({ id: "", key: "", account: "", now: 0 });
    configuration = /** @type {any} */ (USUAL);
    picker = new Picker({ changed: () => this.changed(), told: (message) => this.problem(message), account: () => this.draft.account });
    timer = 0;
    openedAt = "";
    release = () => {};
    isBeginning = true;
    /** @type {Promise<unknown>} */
    ready = Promise.resolve();

    connectedCallback() {
        if (this.firstChild) return;
        this.append(this.build());
        completing(this.text, this.at("#rk-suggestions"), this.at(".composer-live"));
        addEventListener("rk-navigated", () => this.place());
        addEventListener("rk-posted", (event) => this.posted(/** @type {CustomEvent} */ (event).detail));
        addEventListener("rk-refused", (event) => void this.refused(/** @type {CustomEvent} */ (event).detail));
        addEventListener("rk-removed", (event) => void this.removed(/** @type {CustomEvent} */ (event).detail.id));
        addEventListener("online", () => this.picker.retry());
        addEventListener("pagehide", () => this.leave());
        document.addEventListener("visibilitychange", () => document.hidden && this.leave());
        outbox.onChange(() => void this.foot());
        storage.onChange(() => void this.foot());
        onKey("compose", () => void this.compose({}));
        session.onChange(() => void this.begin());
        this.ready = this.begin();
    }

    /** @template {HTMLElement} T @param {string} selector @returns {T} */
    at(selector) {
        return /** @type {T} */ (this.querySelector(selector));
    }

    /** @returns {HTMLDialogElement} */
    get dialog() {
        return this.at("dialog");
    }

    /** @returns {HTMLTextAreaElement} */
    get text() {
        return this.at("[name=text]");
    }

    /** @param {string} name @returns {HTMLInputElement} */
    field(name) {
        return this.at(`[name=${name}]`);
    }

    build() {
        const pick = () => /** @type {HTMLElement} */ (this.at("[type=file]")).click();
        return element(html`<dialog class="composer" aria-labelledby="rk-composer-title" @cancel=${(/** @type {Event} */ event) => {
            event.preventDefault();
            void this.close();
        }} @keydown=${(/** @type {KeyboardEvent} */ event) => this.key(event)} @dragover=${(/** @type {Event} */ event) => event.preventDefault()}
            @drop=${(/** @type {DragEvent} */ event) => this.brought(event, event.dataTransfer)} @paste=${(/** @type {ClipboardEvent} */ event) => this.brought(event, event.clipboardData)}>
            <form novalidate @submit=${(/** @type {Event} */ event) => this.submitted(event)} @input=${() => this.read()}>
            <header><h2 id="rk-composer-title">${words.write}</h2><a href="/drafts" class="faint">${words.drafts}</a>${signButton("close", words.close, () => void this.close())}</header>
            <div class="composer-about"></div>
            <input name="warning" type="text" dir="auto" aria-label=${words.warning} placeholder=${words.warningHint} hidden>
            <div class="composer-text"><textarea name="text" dir="auto" rows="1" aria-label=${words.text} placeholder=${words.placeholder}></textarea><ul id="rk-suggestions" hidden></ul></div>
            ${this.picker.element}<div class="composer-poll"></div>
            <label class="composer-time" hidden>${words.time} <input name="scheduled" type="datetime-local"></label>
            <p class="composer-problem" role="alert"></p>
            <div class="composer-tools"><input type="file" multiple hidden @change=${(/** @type {any} */ event) => {
                void this.picker.add([...event.target.files]);
                event.target.value = "";
            }}>
                ${signButton("media", words.addMedia, pick)}${signButton("poll", words.addPoll, () => this.poll())}
                ${signButton("warning", words.addWarning, () => this.warn())}${signButton("time", words.addTime, () => this.schedule())}
                <select name="visibility" aria-label=${words.visibility}>${VISIBILITIES.map((each) => html`<option value=${each}>${words.visibilities[each]}</option>`)}</select>
                <select name="language" aria-label=${words.language}><option value="">${words.languageNone}</option>${languageRows().map(({ code, name }) => html`<option value=${code}>${name}</option>`)}</select>
                <label class="composer-sensitive" hidden><input type="checkbox" name="sensitive"> ${words.sensitive}</label>
                <span class="composer-end"><output class="composer-count"></output><button type="submit" class="primary">${words.post}</button></span></div>
            <p class="composer-foot faint"></p><p class="composer-live hidden" role="status"></p></form></dialog>`);
    }

    /** Begin with what this tab had, or the newest draft that no tab has open. */
    async begin() {
        const account = session.account?.id ?? "";
        if (account === this.draft.account) return; // nobody, at first
        this.release();
        const { id, open, draft: left } = tab();
        const drafts = account ? await this.free(account) : [];
        const known = drafts.find((each) => each.id === id);
        const own = left && left.account === account && left.at > (known?.at ?? 0) ? left : known;
        const plain = drafts.find((each) => !each.replyTo && !each.quote && !each.edits);
        await this.take(await this.claimed(own, plain));
        this.isBeginning = false;
        this.place();
        void this.limits();
        if (own && own.id === this.draft.id && open) this.show();
    }

    /** Drafts that aren't the outbox's, the newest first. @param {string} account @returns {Promise<Draft[]>} */
    async free(account) {
        const [drafts, sendings] = await Promise.all([readAll("drafts", account), readAll("sendings", account)]);
        const busy = new Set(sendings.map((each) => each.id));
        return drafts.filter((each) => !busy.has(each.id)).sort((a, b) => b.at - a.at);
    }

    /** Have a draft for this tab alone. @param {(Draft | undefined)[]} choices @returns {Promise<Draft>} */
    async claimed(...choices) {
        for (const draft of [...choices, this.fresh()]) {
            if (!draft) continue;
            // Its own the page before may still hold, as it goes.
            const release = await claim(draft.id, draft.id === tab().id ? RELOAD_MS : 0);
            if (!release) continue;
            this.release();
            this.release = release;
            return draft;
        }
        return this.fresh();
    }

    /** @param {string} id */
    async removed(id) {
        if (id === this.draft.id) await this.take(await this.claimed());
    }

    fresh() {
        const { account } = session;
        const source = account?.source ?? {};
        return newDraft({
            id: crypto.randomUUID(), key: newKey(), account: account?.id ?? "", now: Date.now(), visibility: source.privacy,
            language: source.language ?? "", sensitive: source.sensitive,
        });
    }

    async limits() {
        const known = await read("kept", "instance");
        if (known) this.configuration = known.configuration;
        const answer = await api.get("/api/v2/instance");
        if (answer.ok) {
            this.configuration = answer.body.configuration;
            void write([["kept", { name: "instance", account: this.draft.account, configuration: this.configuration }]]);
        }
        const { media_attachments, statuses } = this.configuration;
        Object.assign(this.picker, { limits: media_attachments, countMax: statuses.max_media_attachments });
        const input = /** @type {HTMLInputElement} */ (this.at("[type=file]"));
        input.accept = (media_attachments?.supported_mime_types ?? []).join(",");
        this.at("[data-tool=media]").hidden = media_attachments !== null && !media_attachments.supported_mime_types.length;
        this.count();
    }

    /** Show another draft. @param {Draft} draft */
    async take(draft) {
        clearTimeout(this.timer);
        this.draft = draft;
        this.picker.take(draft.media);
        this.text.value = draft.text;
        for (const name of ["warning", "visibility", "language", "scheduled"]) this.field(name).value = /** @type {any} */ (draft)[name];
        this.field("sensitive").checked = draft.sensitive;
        this.problem("");
        this.drawPoll();
        this.drawAbout();
        this.draw();
        this.remember();
        await this.foot();
    }

    remember() {
        tab({ id: this.draft.id, open: this.dialog.matches(":modal") });
    }

    /** The page goes, perhaps: IndexedDB may not get to it any more. */
    leave() {
        const { draft } = this;
        if (!draft.account || storage.isStopped()) return;
        if (!isUntouched(draft)) tab({ ...tab(), draft });
        void this.keep();
    }

    /** What the fields say goes into the draft. */
    read() {
        const { draft } = this;
        Object.assign(draft, {
            text: this.text.value, warning: this.field("warning").value, visibility: this.field("visibility").value,
            language: this.field("language").value, scheduled: this.field("scheduled").value, sensitive: this.field("sensitive").checked,
        });
        this.problem("");
        this.changed();
    }

    changed() {
        this.draft.at = Date.now();
        this.draw();
        clearTimeout(this.timer);
        this.timer = setTimeout(() => void this.keep(), SAVE_MS);
    }

    /** Keep the draft on the device; one without anything new in it goes. */
    async keep() {
        clearTimeout(this.timer);
        const { draft } = this;
        if (!draft.account) return;
        if (isUntouched(draft)) await write([], [["drafts", draft.id]]);
        else await write([["drafts", structuredClone(draft)]]);
    }

    draw() {
        const { draft } = this;
        const busy = !isUntouched(draft) || draft.text !== "";
        this.toggleAttribute("data-busy", busy);
        this.field("warning").hidden = !draft.warned;
        this.at(".composer-time").hidden = !draft.scheduled;
        this.at(".composer-sensitive").hidden = !draft.media.length;
        /** @param {string} name @param {boolean} on @param {string} label */
        const tool = (name, on, label) => {
            const button = this.at(`[data-tool=${name}]`);
            button.setAttribute("aria-pressed", String(on));
            button.setAttribute("aria-label", label);
            button.title = label;
        };
        tool("warning", draft.warned, draft.warned ? words.removeWarning : words.addWarning);
        tool("poll", !!draft.poll, draft.poll ? words.removePoll : words.addPoll);
        tool("time", !!draft.scheduled, draft.scheduled ? words.removeTime : words.addTime);
        this.at("[data-tool=time]").hidden = !!draft.edits;
        /** @type {HTMLButtonElement} */ (this.at("[data-tool=media]")).disabled = !!draft.poll;
        /** @type {HTMLButtonElement} */ (this.at("[data-tool=poll]")).disabled = !draft.poll && draft.media.length > 0;
        /** @type {HTMLSelectElement} */ (this.at("[name=visibility]")).disabled = !!draft.edits;
        fill(this.at("[type=submit]"), draft.edits ? words.save : draft.scheduled ? words.schedule : words.post);
        this.count();
        if (!CSS.supports("field-sizing", "content")) {
            this.text.style.height = "auto";
            this.text.style.height = `${this.text.scrollHeight + 2}px`;
        }
    }

    verdict() {
        const { draft, configuration } = this;
        return verdictOf({
            text: draft.text, warning: draft.warned ? draft.warning : "", hasMedia: draft.media.length > 0,
            max: configuration.statuses.max_characters, options: draft.poll?.options ?? null,
            optionMax: configuration.polls.max_characters_per_option, optionsMax: configuration.polls.max_options,
        });
    }

    count() {
        const { left } = this.verdict();
        const count = this.at(".composer-count");
        count.textContent = number.format(left);
        count.setAttribute("aria-label", left < 0 ? words.over(number.format(-left)) : words.left(number.format(left)));
        count.classList.toggle("over", left < 0);
    }

    drawPoll() {
        const { poll } = this.draft;
        const optionsMax = this.configuration.polls.max_options;
        fill(this.at(".composer-poll"), poll && pollEditor(poll, { optionsMax, changed: (changed) => {
            this.draft.poll = changed;
            this.changed();
        } }));
    }

    drawAbout() {
        const { draft } = this;
        const about = draft.replyTo ?? draft.quote;
        const title = draft.edits ? words.edit : !about ? words.write : !about.acct ? words.replyPlain : draft.replyTo ? words.reply(about.acct) : words.quote(about.acct);
        fill(this.at("h2"), title);
        fill(this.at(".composer-about"), about && html`<blockquote dir="auto">${about.text}</blockquote>${signButton("close", words.removeAbout, () => {
            Object.assign(draft, { replyTo: null, quote: null });
            this.drawAbout();
            this.changed();
            this.text.focus();
        }, "apart")}`);
    }

    /** Say what waits, and what this browser doesn't keep. */
    async foot() {
        const account = session.account?.id;
        const [waiting, drafts] = account ? await Promise.all([outbox.list(), this.free(account)]) : [[], []];
        const others = drafts.filter((each) => each.id !== this.draft.id).length;
        fill(this.at("header a"), others ? words.draftsCount(number.format(others)) : words.drafts);
        fill(this.at(".composer-foot"), storage.problem && html`<strong>${words.storage[storage.problem]}</strong> `, waiting.length ? html`<a href="/drafts">${words.waitCount(waiting.length)}</a>` : null);
    }

    /** @param {string} message */
    problem(message) {
        const place = this.at(".composer-problem");
        if (place.textContent !== message) place.textContent = message;
    }

    poll() {
        this.draft.poll = this.draft.poll ? null : newPoll();
        this.drawPoll();
        this.changed();
        (this.draft.poll ? this.at(".composer-poll input") : this.text).focus();
    }

    warn() {
        this.draft.warned = !this.draft.warned;
        this.changed();
        (this.draft.warned ? this.field("warning") : this.text).focus();
    }

    schedule() {
        const at = new Date(Date.now() + 3_600_000 - new Date().getTimezoneOffset() * 60_000);
        this.field("scheduled").value = this.draft.scheduled ? "" : at.toISOString().slice(0, 16);
        this.read();
        if (this.draft.scheduled) this.field("scheduled").focus();
    }

    /** Files that were dropped or pasted. @param {Event} event @param {DataTransfer | null} data */
    brought(event, data) {
        if (!data?.files.length || this.draft.poll) return;
        event.preventDefault();
        void this.picker.add([...data.files]);
    }

    /** @param {KeyboardEvent} event */
    key(event) {
        if (event.isComposing) return;
        if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
            event.preventDefault();
            event.stopPropagation();
            void this.send();
        } else if (event.key === "Enter" && /** @type {HTMLElement} */ (event.target).matches("input")) {
            event.preventDefault(); // a warning is no reason to post
        } else if (event.key === "Escape" && !this.dialog.matches(":modal")) {
            this.text.blur();
            void this.close();
        }
    }

    /** @param {Event} event */
    submitted(event) {
        event.preventDefault();
        void this.send();
    }

    /** What keeps the draft from being sent, in words. */
    hindrance() {
        const { problem, found } = this.verdict();
        const { draft } = this;
        if (problem === "refused") return words.problems.refused(codeName(found.codePointAt(0) ?? 0));
        if (problem) return words.problems[problem];
        if (draft.media.some((each) => countOf(each.alt) > (this.picker.limits?.description_limit ?? 1500))) return words.problems.long;
        if (draft.media.some((each) => each.problem && each.problem !== words.media.waiting)) return words.problems.uploads;
        if (draft.scheduled && !(Date.parse(draft.scheduled) > Date.now() + 5000)) return words.problems.past;
        return "";
    }

    async send() {
        const hindrance = this.hindrance();
        if (hindrance) {
            this.problem(hindrance);
            this.text.focus();
            return;
        }
        const { draft } = this;
        const silent = withoutAlt(draft).length;
        const { title, text, yes, no } = words.altMissing;
        if (silent && !(await confirmBox({ title, text: text(silent), yes, no }))) return this.picker.askForAlt();
        if (draft !== this.draft) return; // twice
        clearTimeout(this.timer);
        const next = await this.claimed();
        await this.take(next);
        await this.close();
        await outbox.queue(structuredClone(draft));
        if (navigator.onLine === false || !session.token()) toast(words.waiting, { label: words.drafts, action: () => void go("/drafts") });
        else if (this.dataset.dock === "page") void go("/");
    }

    /** @param {{status: any, edited: boolean, scheduled: boolean}} posted */
    posted({ status, edited, scheduled }) {
        if (scheduled) return toast(words.scheduled, { label: words.look, action: () => void go("/drafts") });
        toast(edited ? words.saved : words.sent, { label: words.view, action: () => void go(`/@${status.account.acct}/${status.id}`) });
    }

    /** Refused: the words are the writer's again; if he writes nothing else, at once. @param {{id: string, message: string}} refusal */
    async refused({ id, message }) {
        const draft = await read("drafts", id);
        const edit = async () => {
            const free = await outbox.cancel(id);
            if (free) await this.compose({ draft: free });
            this.problem(message);
        };
        if (draft && isUntouched(this.draft) && !document.querySelector("dialog:modal")) return edit();
        toast(words.refused(message), { label: words.editIt, action: () => void edit() });
    }

    /** Where it stands now: docked, or away. */
    place() {
        const path = location.pathname;
        const isHere = session.account && (path === "/" || path === "/compose");
        this.dataset.dock = !isHere ? "" : path === "/" ? "home" : "page";
        const modal = this.dialog.matches(":modal");
        if (modal && path !== this.openedAt) this.hide();
        // Before there is a draft nobody could write into it.
        if (!this.dialog.matches(":modal")) this.dialog.open = !!isHere && !this.isBeginning;
    }

    /** Open it over everything. */
    show() {
        if (this.dialog.matches(":modal")) return;
        this.style.minHeight = this.dataset.dock === "home" ? `${this.offsetHeight}px` : "";
        this.dialog.open = false;
        this.dialog.showModal();
        this.openedAt = location.pathname;
        this.remember();
        this.toText();
    }

    toText() {
        this.text.focus();
        this.text.setSelectionRange(this.text.value.length, this.text.value.length);
    }

    hide() {
        if (!this.dialog.matches(":modal")) return;
        this.dialog.close();
        this.style.minHeight = "";
        this.dialog.open = !!this.dataset.dock;
        this.remember();
    }

    async close() {
        this.hide();
        await this.keep();
        outbox.told();
    }

    /** @param {Asked} asked */
    async compose(asked) {
        if (this.isBeginning) await this.ready;
        if (!session.account) return toast(words.signedOut);
        const draft = await this.wanted(asked);
        if (!draft) return;
        if (draft.id !== this.draft.id) {
            const release = await claim(draft.id);
            if (!release) return toast(words.elsewhere);
            await this.keep();
            this.release();
            this.release = release;
            await this.take(draft);
            await this.keep();
        }
        if (this.dataset.dock === "page") this.toText();
        else this.show();
    }

    /** The draft that is asked for. @param {Asked} asked @returns {Promise<Draft | null>} */
    async wanted({ replyTo, quote, edit, redraft, draft, text, visibility }) {
        const account = session.account;
        if (draft) return draft;
        const status = replyTo ?? quote ?? edit ?? redraft;
        if (!status && !text && !visibility) return this.draft.edits ? this.fresh() : this.draft;
        const about = replyTo ? "replyTo" : "quote";
        if (replyTo || quote) {
            const begun = [this.draft, ...(await this.free(account.id))].find((each) => each[about]?.id === status.id && !isUntouched(each));
            if (begun) return begun;
        }
        const fresh = this.fresh();
        if (visibility) fresh.visibility = /** @type {any} */ (visibility);
        if (replyTo) return replying(fresh, replyTo, account.acct);
        if (quote) return quoting(fresh, quote);
        if (status) return edit ? this.sourceOf(fresh, edit) : this.rewritten(fresh, redraft);
        return { ...fresh, text: text ?? "" };
    }

    /** @param {Draft} fresh @param {any} status @returns {Promise<Draft | null>} */
    async sourceOf(fresh, status) {
        const answer = await api.get(`/api/v1/statuses/${status.id}/source`);
        if (answer.ok) return rewriting(fresh, status, answer.body, true);
        toast(answer.message || words.problems.instance);
        return null;
    }

    /** Delete a post and begin with its words, which are on the device before it goes. @param {Draft} fresh @param {any} status @returns {Promise<Draft | null>} */
    async rewritten(fresh, status) {
        if (!(await confirmBox({ title: words.redraftTitle, text: words.redraftText, yes: words.redraftYes, danger: true }))) return null;
        const source = await api.get(`/api/v1/statuses/${status.id}/source`);
        if (!source.ok) {
            toast(source.message || words.waiting);
            return null;
        }
        const draft = { ...rewriting(fresh, status, source.body, false), origin: "" };
        await write([["drafts", structuredClone(draft)]]);
        const key = newKey();
        let answer = await api.send("DELETE", `/api/v1/statuses/${status.id}`, undefined, { key });
        for (let n = 1; n < 4 && !answer.ok && (answer.status === 0 || answer.status >= 500); n++) {
            await new Promise((resolve) => setTimeout(resolve, 1000 * n * (answer.ok ? 1 : answer.retryAfterS || 1)));
            answer = await api.send("DELETE", `/api/v1/statuses/${status.id}`, undefined, { key });
        }
        if (answer.ok) {
            dispatchEvent(new CustomEvent("rk-deleted", { detail: { id: status.id } }));
            return draft;
        }
        if (answer.status >= 400 && answer.status < 500) await removeDraft(draft.id);
        toast(answer.message || words.waiting);
        return null;
    }
}

/** Hold a draft against other tabs. @param {string} id @param {number} [waitMs] @returns {Promise<(() => void) | null>} what lets it go; null: another tab has it */
function claim(id, waitMs = 0) {
    if (!navigator.locks) return Promise.resolve(() => {});
    const options = waitMs ? { signal: AbortSignal.timeout(waitMs) } : { ifAvailable: true };
    return new Promise((resolve) => {
        const held = navigator.locks.request(`rookery-draft-${id}`, options, (lock) => {
            if (!lock) return resolve(null);
            return new Promise((end) => resolve(() => end(undefined)));
        });
        held.catch(() => resolve(null));
    });
}

/** @param {string} path */
async function go(path) {
    const { navigate } = await import("../routes.js");
    navigate(path);
}

/** @type {Composer | null} */
let composer = null;

/** The one composer, put into its dock. @returns {Composer} */
function mounted() {
    if (!composer) {
        customElements.define("rk-composer", Composer);
        composer = /** @type {Composer} */ (document.createElement("rk-composer"));
        (document.getElementById("dock") ?? document.body).append(composer);
        outbox.start();
    }
    return composer;
}

/** Open the composer. @param {Asked} asked @returns {Promise<void>} */
export async function compose(asked) {
    await mounted().compose(asked);
}

/** Begin with what was shared into the client. @param {Record<string, string>} query @returns {Promise<void>} */
export async function share(query) {
    const text = sharedText(query);
    await compose(text ? { text } : {});
}

mounted();
