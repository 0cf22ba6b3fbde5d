/*
 * What one has liked.
 */

import { api } from "../net/api.js";
import { feed } from "../parts/feed.js";
import { said } from "../parts/form.js";
import { statusElement } from "../parts/status.js";
import { words as w } from "../words/places.js";

export default function screen() {
    const list = feed({
        key: "likes", load: (query) => api.get("/api/v1/favourites", query), idOf: (item) => item.id,
        make: (item) => statusElement(item), empty: () => said(w.noLikes),
    });
    return { element: list, title: w.likes };
}
