/*
 * To fill a place anew with what templates make.
 */

import { fragment, html } from "./html.js";

/** @param {Element} place @param {...unknown} values as a template takes children */
export function fill(place, ...values) {
    place.replaceChildren(fragment(html`${values}`));
}
