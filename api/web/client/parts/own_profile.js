/*
 * What one says of oneself: names, note, fields, pictures, and who may find it.
 */

import { element, html } from "../base/html.js";
import { api } from "../net/api.js";
import { session } from "../net/session.js";
import { words as w } from "../words/places.js";
import { check, form, line, lines, said, select } from "./form.js";
import { toast } from "./toast.js";

const PATH = "/api/v1/accounts/update_credentials";
const VISIBLE = ["public", "unlisted", "private", "direct"];

/** @returns {Promise<HTMLElement>} */
export async function ownProfile() {
    const [found, instance] = await Promise.all([api.get("/api/v1/accounts/verify_credentials"), api.get("/api/v2/instance")]);
    if (!found.ok) return element(said(found.message));
    const own = found.body;
    const limits = instance.ok ? instance.body.configuration.accounts : {};
    const count = limits.max_profile_fields ?? 4;
    const fields = Array.from({ length: count }, (_, at) => own.source.fields[at] ?? { name: "", value: "" });
    const inside = html`${line(w.displayName, "display_name", own.display_name, { max: limits.max_display_name_length ?? 30 })}
        ${lines(w.bio, "note", own.source.note, limits.max_note_length ?? 500)}
        <fieldset><legend>${w.fields}</legend>${fields.map((field, at) => html`<div class="rk-pair">${line(`${w.fieldName} ${at + 1}`, `name${at}`, field.name, { max: limits.profile_field_name_limit ?? 255 })}${line(`${w.fieldValue} ${at + 1}`, `value${at}`, field.value, { max: limits.profile_field_value_limit ?? 255 })}</div>`)}</fieldset>
        ${check(w.isLocked, "locked", own.locked)}${check(w.isBot, "bot", own.bot)}${check(w.isDiscoverable, "discoverable", own.discoverable !== false)}${check(w.isIndexable, "indexable", own.indexable !== false)}${check(w.hidesCollections, "hide_collections", own.hide_collections === true)}
        ${select(w.postsAre, "privacy", VISIBLE.slice(0, 3).map((value) => ({ value, label: w.visibilities[value] })), own.source.privacy)}
        ${check(w.postsSensitive, "sensitive", own.source.sensitive)}`;
    const texts = form(w.editProfile, inside, w.keep, async (data) => {
        const flags = Object.fromEntries(["locked", "bot", "discoverable", "indexable", "hide_collections"].map((name) => [name, data.has(name)]));
        const answer = await api.send("PATCH", PATH, {
            ...flags, display_name: data.get("display_name"), note: data.get("note"),
            fields_attributes: fields.map((_, at) => ({ name: data.get(`name${at}`), value: data.get(`value${at}`) })),
            source: { privacy: data.get("privacy"), sensitive: data.has("sensitive") },
        });
        taken(answer);
    });
    return element(html`<div>${picture("avatar", own)}${picture("header", own)}${texts}<p><a href=${`/@${session.account?.acct}`}>${w.yourProfile}</a></p></div>`);
}

/** @param {any} answer */
function taken(answer) {
    toast(answer.ok ? w.kept : answer.message);
    if (answer.ok && session.account) Object.assign(session.account, answer.body);
}

/** @param {"avatar" | "header"} name @param {any} own */
function picture(name, own) {
    const image = /** @type {HTMLImageElement} */ (element(html`<img class=${name} src=${own[name]} alt="" width=${name === "avatar" ? 96 : 300} height=${name === "avatar" ? 96 : 100}>`));
    /** @param {any} answer */
    const done = (answer) => {
        taken(answer);
        if (answer.ok) image.src = answer.body[name];
    };
    const pick = async (/** @type {Event} */ event) => {
        const input = /** @type {HTMLInputElement} */ (event.target);
        const file = input.files?.[0];
        if (!file) return;
        const body = new FormData();
        body.append(name, file);
        done(await api.send("PATCH", PATH, body));
        input.value = "";
    };
    const drop = async () => done(await api.send("DELETE", `/api/v1/profile/${name}`));
    return element(
        html`<fieldset class="rk-picture"><legend>${w.pictures[name]}</legend>${image}<div class="rk-buttons"><label class="rk-field"><span>${w.pickPicture}</span><input type="file" accept="image/*" @change=${pick}></label><button type="button" @click=${drop}>${w.removePicture}</button></div></fieldset>`,
    );
}
