/*
 * What one has kept.
 */

import { api } from "../net/api.js";
import { feed } from "../parts/feed.js";
import { said } from "../parts/form.js";
import { statusElement } from "../parts/status.js";
import { words as w } from "../words/places.js";

export default function screen() {
    const list = feed({
        key: "bookmarks", load: (query) => api.get("/api/v1/bookmarks", query), idOf: (item) => item.id,
        make: (item) => statusElement(item), empty: () => said(w.noBookmarks),
    });
    return { element: list, title: w.bookmarks };
}
