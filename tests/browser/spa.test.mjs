// oidc-client-ts, unmodified, in a single-page application of another site: a public client that calls us from its page.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import http from 'node:http';
import { after, before, test } from 'node:test';
import { place, post, start, words } from '../clients/support.mjs';
import { allow, choose, enrol, inWindow, launch, settled, signIn, where } from './support.mjs';

const bounded = { timeout: 60_000 };
const SCOPE = 'openid profile email offline_access demo:read';
const LIBRARY = new URL('./node_modules/oidc-client-ts/dist/browser/oidc-client-ts.min.js', import.meta.url);

let vs;
let browser;
let people;
let site;

before(async () => {
  [vs, browser, site] = await Promise.all([start(), launch(), serve()]);
  people = await enrol(vs, 'ada', 'ben');
  await vs.cli('client', 'create', '--id', 'spa', '--name', 'Single Page', '--auth', 'none', '--grant', 'authorization_code',
    '--grant', 'refresh_token', '--redirect-uri', `${site.origin}/callback`, '--post-logout-redirect-uri', `${site.origin}/out`,
    '--scope', SCOPE, '--resource', vs.resource);
  await settled();
}, { timeout: 60_000 });
after(async () => {
  site?.stop();
  await browser?.close();
  await vs?.stop();
}, { timeout: 30_000 });

/** The application: at every address the same page, with the library and its settings. */
async function serve() {
  const library = await readFile(LIBRARY);
  const server = http.createServer((request, response) => {
    const { pathname } = new URL(request.url, 'http://localhost');
    const send = (type, body) => response.writeHead(200, { 'content-type': type }).end(body);
    if (pathname === '/library.js') return send('text/javascript', library);
    if (pathname === '/app.js') return send('text/javascript', script(origin));
    if (['/', '/callback', '/out'].includes(pathname)) {
      return send('text/html; charset=utf-8', `<!doctype html><html lang="en"><title>Single Page</title><main><h1>Single Page</h1></main>
<script src="/library.js"></script><script src="/app.js"></script></html>`);
    }
    return response.writeHead(204).end();
  });
  await new Promise((done, failed) => server.once('error', failed).listen(0, '127.0.0.1', done));
  const origin = `http://localhost:${server.address().port}`;
  return {
    origin,
    stop: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}

const script = (origin) => `window.manager = new oidc.UserManager(${JSON.stringify({
  authority: vs.issuer,
  client_id: 'spa',
  redirect_uri: `${origin}/callback`,
  post_logout_redirect_uri: `${origin}/out`,
  scope: SCOPE,
  loadUserInfo: true,
  automaticSilentRenew: false,
  revokeTokensOnSignout: true,
  requestTimeoutInSeconds: 5,
})});
window.events = [];
manager.events.addUserLoaded(() => events.push('loaded'));
manager.events.addSilentRenewError((error) => events.push(String(error)));`;

/** What the application holds of the user. */
const user = (page) => page.evaluate(async () => {
  const found = await manager.getUser();
  return found && {
    access_token: found.access_token, refresh_token: found.refresh_token, id_token: found.id_token, scopes: found.scopes, profile: found.profile,
  };
});

const arrive = (page, origin, path) => page.waitForURL((url) => url.origin === origin && url.pathname === path);

async function signedIn(page, person) {
  await page.goto(site.origin);
  await page.evaluate(() => { manager.signinRedirect({ state: { from: 'the test' } }); });
  await arrive(page, vs.issuer, '/sign-in');
  await signIn(page, person);
  if (where(page) === '/consent') await allow(page);
  await arrive(page, site.origin, '/callback');
  const state = await page.evaluate(async () => (await manager.signinCallback()).state);
  assert.deepEqual(state, { from: 'the test' });
  return user(page);
}

const token = async (form) => {
  const response = await post(`${vs.issuer}/token`, { client_id: 'spa', ...form });
  return { status: response.status, body: await response.json() };
};

test('cl13 cl14 signinRedirect, signinSilent by the refresh token, signoutRedirect that revokes', bounded, () => inWindow(browser, {}, async (page) => {
  const first = await signedIn(page, people.ada);
  assert.deepEqual(words(first.scopes.join(' ')), words(SCOPE));
  assert.equal(first.profile.preferred_username, 'ada');
  assert.equal(first.profile.email, 'ada@example.org', 'of the user info endpoint');

  await page.evaluate(async () => { await manager.signinSilent(); });
  const second = await user(page);
  assert.notEqual(second.access_token, first.access_token);
  assert.notDeepEqual(place(second.refresh_token), place(first.refresh_token));
  assert.equal(second.profile.sub, first.profile.sub);

  await page.evaluate(() => { manager.signoutRedirect({ state: 'bye' }); });
  await arrive(page, vs.issuer, '/logout');
  const refused = await token({ grant_type: 'refresh_token', refresh_token: second.refresh_token });
  assert.deepEqual([refused.status, refused.body.error], [400, 'invalid_grant'], 'revoked before the person answered');
  await choose(page, 'decision', 'sign_out');
  await arrive(page, site.origin, '/out');
  await page.evaluate(async () => { await manager.signoutCallback(); });
  assert.equal(await user(page), null);
}));

test('two tabs that renew at once both stay signed in', bounded, () => inWindow(browser, {}, async (page, context) => {
  const { refresh_token } = await signedIn(page, people.ben);
  const tab = await context.newPage();
  await tab.goto(site.origin);
  // The library keeps its user for each tab, so the second one gets it from the first.
  const entries = await page.evaluate(() => Object.entries(sessionStorage));
  await tab.evaluate((all) => all.forEach(([key, value]) => sessionStorage.setItem(key, value)), entries);
  const renew = (one) => one.evaluate(async () => (await manager.signinSilent()).refresh_token);
  const [here, there] = await Promise.all([renew(page), renew(tab)]);
  assert.deepEqual(place(here), place(there), 'one successor');
  assert.notDeepEqual(place(here), place(refresh_token));
  assert.ok(await renew(page));
  assert.ok(await renew(tab), 'the slower tab is served again');
  assert.deepEqual(await page.evaluate(() => events.filter((event) => event !== 'loaded')), []);
}));
