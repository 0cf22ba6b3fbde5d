// masto.js signs in to a served cluster by every grant that it has.

import assert from "node:assert/strict";
import { test } from "node:test";

import { OUT_OF_BAND, PASSWORD, SCOPES, client, oauth, refused, signUp, theApp, token, url } from "./clients.mjs";

test("an app is what it says, and acts for itself by its own secret", async () => {
  const app = await theApp();
  assert.deepEqual([app.name, app.redirectUris, app.scopes], ["masto.js", [OUT_OF_BAND], SCOPES.split(" ")]);
  const ofApp = await token("client_credentials");
  assert.deepEqual([ofApp.tokenType, ofApp.scope], ["Bearer", SCOPES]);
  assert.equal((await client(ofApp.accessToken).v1.apps.verifyCredentials()).name, "masto.js");
  await refused(422, () => client(ofApp.accessToken).v1.accounts.verifyCredentials());
});

test("an account signs in by its password, by name and by address, until it takes that back", async () => {
  const made = await signUp();
  for (const username of [made.username, made.email]) {
    for (const encoding of ["json", "multipart-form"]) {
      const { accessToken } = await token("password", { username, password: PASSWORD }, { encoding });
      const { v1 } = client(accessToken);
      assert.equal((await v1.accounts.verifyCredentials()).username, made.username);
      const { clientId, clientSecret } = await theApp();
      await oauth.revoke({ clientId, clientSecret, token: accessToken }, { encoding });
      await refused(401, () => v1.accounts.verifyCredentials());
    }
  }
  const wrong = await refused(400, () => token("password", { username: made.username, password: "not this one" }));
  assert.equal(wrong.message, "invalid_grant");
});

test("an account signs in by a code from the pages, which works once", async () => {
  const made = await signUp();
  const { clientId } = await theApp();
  const asked = new URLSearchParams({
    client_id: clientId, redirect_uri: OUT_OF_BAND, response_type: "code", scope: SCOPES,
  });
  const browser = new Browser();
  await browser.open(new URL(`/oauth/authorize?${asked}`, url));
  await browser.send({ "user[email]": made.username, "user[password]": PASSWORD });
  assert.match(browser.text, /masto\.js/);
  await browser.send({});
  const code = browser.at.searchParams.get("code");
  const { accessToken } = await token("authorization_code", { code });
  assert.equal((await client(accessToken).v1.accounts.verifyCredentials()).username, made.username);
  await refused(400, () => token("authorization_code", { code }));
});

/** As much of a browser as signing in needs: one page with one form, and cookies. */
class Browser {
  cookies = new Map();

  async open(address, body = undefined) {
    const headers = { cookie: [...this.cookies].map(([name, value]) => `${name}=${value}`).join("; ") };
    const method = body === undefined ? "GET" : "POST";
    if (body) headers.origin = new URL(url).origin;
    const reply = await fetch(address, { method, body, headers, redirect: "manual" });
    const setCookies = reply.headers.get("set-cookie") ?? ""; // several are joined by commas
    for (const [, name, value] of setCookies.matchAll(/(?:^|, )([^=;, ]+)=([^;]*)/g)) this.cookies.set(name, value);
    this.at = new URL(address);
    if (reply.status >= 300 && reply.status < 400) return this.open(new URL(reply.headers.get("location"), address));
    this.text = await reply.text();
    assert.equal(reply.status, 200, this.text);
  }

  /** Fill in the page's first form, and send it. */
  async send(values) {
    const [form, action] = this.text.match(/<form[^>]*action="([^"]+)"[\s\S]*?<\/form>/);
    const hidden = [...form.matchAll(/<input[^>]*type="hidden"[^>]*name="([^"]+)"[^>]*value="([^"]*)"/g)];
    const sent = { ...Object.fromEntries(hidden.map(([, name, value]) => [name, unescaped(value)])), ...values };
    await this.open(new URL(unescaped(action), this.at), new URLSearchParams(sent));
  }
}

function unescaped(text) {
  return text.replaceAll("&#34;", '"').replaceAll("&#39;", "'").replaceAll("&lt;", "<").replaceAll("&gt;", ">")
    .replaceAll("&amp;", "&");
}
