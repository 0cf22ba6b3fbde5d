/*
 * What one has liked.
 */

import { posts } from "../parts/listed.js";
import { words as w } from "../words/places.js";

export default () => ({ element: posts("/api/v1/favourites", w.noLikes), title: w.likes });
