/*
 * What one has kept.
 */

import { posts } from "../parts/listed.js";
import { words as w } from "../words/places.js";

export default () => ({ element: posts("/api/v1/bookmarks", w.noBookmarks), title: w.bookmarks });
