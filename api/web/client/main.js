/*
 * Where the client begins: who is signed in, then the frame and the screen of the address.
 */

import "./base/settings.js";
import { workerAddress } from "./base/html.js";
import { startApp } from "./app.js";
import { session } from "./net/session.js";

await session.begin();
startApp();
if ("serviceWorker" in navigator) navigator.serviceWorker.register(workerAddress()).catch(() => {}); // refused: no offline start
