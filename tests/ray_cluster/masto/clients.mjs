// masto.js's clients of one served cluster, and the little that its tests share.
//
// - ROOKERY_URL is where the cluster is served; NPM_FOLDER holds the node_modules that package-lock.json pins.
// - A read after a write is done on several connections at once (`everywhere`), so that both API workers are asked.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

// Its packages lie elsewhere than the tests, so it isn't found by its name; by `require` Node 18 can't load it.
const folder = join(process.env.NPM_FOLDER, "node_modules", "masto");
const masto = await import(pathToFileURL(join(folder, JSON.parse(readFileSync(join(folder, "package.json"))).module)));
export const { MastoHttpError } = masto;
export const url = process.env.ROOKERY_URL;
export const OUT_OF_BAND = "urn:ietf:wg:oauth:2.0:oob";
export const SCOPES = "read write follow profile";
export const PASSWORD = "a long enough password";
const CONNECTIONS = 4; // at a time: which worker has one is chance

export const client = (accessToken) => masto.createRestAPIClient({ url, accessToken });
export const streaming = (more) =>
  masto.createStreamingAPIClient({ streamingApiUrl: url.replace(/^http/, "ws"), ...more });
export const oauth = masto.createOAuthAPIClient({ url });

let people = 0;
let app;

/** The app that all clients here are of, registered once. */
export function theApp() {
  app ??= client().v1.apps.create({ clientName: "masto.js", redirectUris: OUT_OF_BAND, scopes: SCOPES });
  return app;
}

/** What every grant asks for, with what one grant asks for besides. */
export async function token(grantType, more = {}, meta = undefined) {
  const { clientId, clientSecret } = await theApp();
  const asked = { grantType, clientId, clientSecret, redirectUri: OUT_OF_BAND, scope: SCOPES, ...more };
  return oauth.token.create(asked, meta);
}

/** Sign somebody up, as an app does: returns the client, the account, its name and its address. */
export async function signUp() {
  const username = `masto_${process.pid}_${people++}`;
  const email = `${username}@rookery.example`;
  const ofApp = await token("client_credentials");
  const made = await client(ofApp.accessToken).v1.accounts.create({
    username, email, password: PASSWORD, agreement: true, locale: "en",
  });
  const { v1, v2 } = client(made.accessToken);
  return { v1, v2, username, email, accessToken: made.accessToken, id: (await v1.accounts.verifyCredentials()).id };
}

/** Two who follow each other. */
export async function twoFriends() {
  const two = await Promise.all([signUp(), signUp()]);
  await two[0].v1.accounts.$select(two[1].id).follow();
  await two[1].v1.accounts.$select(two[0].id).follow();
  return two;
}

/** Read the same on several connections at once, and hold every answer to what is expected. */
export async function everywhere(read, expect) {
  for (const answer of await Promise.all(Array.from({ length: CONNECTIONS }, read))) expect(answer);
}

/** Expect a refusal with this status; returns masto.js's error. */
export async function refused(statusCode, ask) {
  const error = await ask().then(() => assert.fail(`not refused with ${statusCode}`), (reason) => reason);
  assert.ok(error instanceof MastoHttpError, String(error.stack ?? error));
  assert.equal(error.statusCode, statusCode, error.message);
  assert.equal(typeof error.message, "string");
  return error;
}

/** All pages of a list, by masto.js's iterator. */
export async function pages(list) {
  const found = [];
  for await (const page of list) found.push(page);
  return found;
}

export const ids = (list) => list.map(({ id }) => id);
