// Each page of docs/guide that brings a reader to a sign-in, followed word by word: its commands, its files, and what it
// says will be seen.

import assert from 'node:assert/strict';
import { readFile, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import * as oidc from 'openid-client';
import { get, limit, peek, post, refusal, sleep, start, words } from '../clients/support.mjs';
import { back, visitor } from '../clients/visitor.mjs';
import { freeOrigin, openGuide, serveFiles } from './guides.mjs';
import { allow, choose, deny, launch, send, settled, signIn, where } from './support.mjs';

const bounded = { timeout: 90_000 };
/** The upper bound of whatever a page is asked to do. */
const ACTION_LIMIT_MS = 10_000;

let vs;
let browser;

before(async () => {
  [vs, browser] = await Promise.all([start(), launch()]);
}, { timeout: 60_000 });
after(async () => {
  await browser?.close();
  await vs?.stop();
}, { timeout: 30_000 });

/** A browser with cookies of its own. What its console says is the matter of other tests: an application may meet refusals. */
async function atBrowser(body) {
  const context = await browser.newContext({ reducedMotion: 'reduce', locale: 'en-GB' });
  context.setDefaultTimeout(ACTION_LIMIT_MS);
  try {
    await body(await context.newPage());
  } finally {
    await context.close();
  }
}

const heading = (page) => page.locator('h1').innerText();
const press = async (page, name) => page.getByRole('button', { name }).or(page.getByRole('link', { name })).click();
const demo = () => ({ username: vs.username, password: vs.password });
const metadata = async () => (await get(`${vs.issuer}/.well-known/openid-configuration`)).json();

/** What is at an authorization endpoint for a client and this more. */
const asked = (client_id, more) => `${vs.issuer}/authorize?${new URLSearchParams({
  client_id, response_type: 'code', code_challenge: 'a'.repeat(43), code_challenge_method: 'S256', ...more,
})}`;

async function until(isSo) {
  for (const end = Date.now() + ACTION_LIMIT_MS; !await isSo();) {
    if (Date.now() > end) throw new Error('it never came to that');
    await sleep(250);
  }
}

/** The living families of a client. */
const families = (client_id) => vs.cli('session', 'list', '--client', client_id);

async function webApplication(guide, home) {
  const { client_secret } = await guide.run('client create');
  await settled();
  const app = guide.start('app.mjs', { env: { CLIENT_SECRET: client_secret } });
  await app.line(/^Open /m);
  await atBrowser(async (page) => {
    const arrive = () => page.waitForURL((url) => url.origin === home);
    await page.goto(home);
    await press(page, 'Sign in');
    await signIn(page, demo());
    assert.ok((await page.locator('main').innerText()).includes('Corner Notes'));
    await deny(page);
    await arrive();
    assert.equal(await heading(page), `Not signed in: ${guide.says('access_denied')}`);

    await press(page, 'Sign in');
    await allow(page);
    await arrive();
    guide.says('the page says "Hello demo"');
    assert.equal(await heading(page), 'Hello demo');
    assert.deepEqual((await page.context().cookies(home)).filter(({ name }) => name === 'session').map(({ httpOnly }) => httpOnly), [true]);

    guide.says('Then the browser is back at the `post_logout_redirect_uri`');
    await press(page, 'Sign out');
    assert.equal(where(page), '/logout');
    assert.deepEqual(await families('web'), [], 'ended by the application, before the person answered');
    await choose(page, 'decision', 'stay');
    await page.goto(home);
    assert.equal(await heading(page), 'Welcome');
    guide.says('Who presses "Stay signed in" is signed in without a password the next time');
    await press(page, 'Sign in');
    await arrive();
    assert.equal(await heading(page), 'Hello demo');
    await press(page, 'Sign out');
    await choose(page, 'decision', 'sign_out');
    await arrive();
    assert.equal(await heading(page), 'Welcome');
    await press(page, 'Sign in');
    await signIn(page, demo());
    await arrive();

    guide.says('the user info answers 401 at once');
    await vs.cli('session', 'revoke', '--client', 'web', '--yes');
    await settled();
    await page.reload();
    assert.equal(await heading(page), 'You have been signed out');

    // With a life as short as that, each page refreshes first.
    await vs.cli('client', 'update', 'web', '--access-ttl', '2s');
    await settled();
    await press(page, 'Sign in');
    await arrive();
    const [before] = await families('web');
    for (let round = 0; round < 3; round += 1) {
      await sleep(1_100);
      await page.reload();
      assert.equal(await heading(page), 'Hello demo');
    }
    const [now] = await families('web');
    assert.equal(now.sid, before.sid);
    assert.notDeepEqual(now, before, 'it was refreshed');
  });
  assert.equal(app.complaints(), '');
  await wrongTurnsOfWeb(guide, home, client_secret);
}

/** What the page says of what goes wrong. */
async function wrongTurnsOfWeb(guide, home, client_secret) {
  const person = visitor(vs.issuer);
  for (const [address, title] of [
    [asked('nobody', { redirect_uri: `${home}/callback` }), guide.says('We do not know this app')],
    [asked('web', { redirect_uri: `${home}/callback/` }), guide.says('Something is wrong with this link')],
  ]) {
    const page = await person.open(address);
    assert.equal(page.status, 400);
    assert.ok(page.text.includes(title), page.text);
  }
  const wide = await person.open(asked('web', { redirect_uri: `${home}/callback`, scope: 'openid demo:write' }));
  assert.equal(wide.away.searchParams.get('error'), guide.says('invalid_scope'));
  const silent = await person.open(asked('web', { redirect_uri: `${home}/callback`, prompt: 'none' }));
  assert.equal(silent.away.searchParams.get('error'), guide.says('login_required'));

  const config = async (secret) => oidc.discovery(new URL(vs.issuer), 'web', undefined, oidc.ClientSecretBasic(secret), {
    execute: [oidc.allowInsecureRequests],
  });
  const checks = { pkceCodeVerifier: oidc.randomPKCECodeVerifier(), expectedState: oidc.randomState() };
  const good = await config(client_secret);
  const callback = await back(person, oidc.buildAuthorizationUrl(good, {
    redirect_uri: `${home}/callback`, scope: 'openid', state: checks.expectedState,
    code_challenge: await oidc.calculatePKCECodeChallenge(checks.pkceCodeVerifier), code_challenge_method: 'S256',
  }), demo());
  await assert.rejects(oidc.authorizationCodeGrant(await config('not the secret'), callback, checks), {
    code: guide.says('OAUTH_WWW_AUTHENTICATE_CHALLENGE'), status: 401,
  });
  await assert.rejects(oidc.authorizationCodeGrant(good, callback, { ...checks, expectedState: 'of another tab' }), {
    code: guide.says('OAUTH_INVALID_RESPONSE'),
  });
  await oidc.authorizationCodeGrant(good, callback, checks);
  const again = await refusal(oidc.authorizationCodeGrant(good, callback, checks));
  assert.equal(again.error, guide.says('invalid_grant'));
}

async function singlePage(guide, home) {
  await guide.run('client create');
  // As long as the library renews ahead: so it does all the time.
  await vs.cli('client', 'update', 'spa', '--access-ttl', '60s');
  await settled();
  const site = await serveFiles(guide.folder, new URL(home).port);
  try {
    await atBrowser((page) => aroundThePage(guide, `${home}/`, page));
  } finally {
    site.stop();
  }
  const person = visitor(vs.issuer);
  const page = await person.open(asked('spa', { redirect_uri: home }));
  assert.ok(page.text.includes(guide.says('Something is wrong with this link')), page.text);
}

async function aroundThePage(guide, home, page) {
  const said = (text) => page.locator('#who', { hasText: text }).waitFor();
  const arrive = () => page.waitForURL(home);
  await page.goto(home);
  await press(page, 'Sign in');
  await page.waitForURL((url) => url.pathname === '/sign-in');
  await signIn(page, demo());
  await deny(page);
  await arrive();
  await said(`Not signed in: ${guide.says('access_denied')}`);

  await press(page, 'Sign in');
  await page.waitForURL((url) => url.pathname === '/consent');
  await allow(page);
  await arrive();
  guide.says('the page says "Signed in as demo."');
  await said('Signed in as demo.');
  await page.reload();
  await said('Signed in as demo.');

  guide.says('Renewed by the refresh token a minute before the access token ends');
  const [first] = await families('spa');
  await until(async () => JSON.stringify((await families('spa'))[0]) !== JSON.stringify(first));
  await said('Signed in as demo.');
  guide.says('the renewal is refused with `invalid_grant`, and the page above forgets its user');
  await vs.cli('session', 'revoke', '--client', 'spa', '--yes');
  await said('Nobody is signed in.');
  await press(page, 'Sign in');
  await arrive();
  await said('Signed in as demo.');

  guide.says('`signoutRedirect` revokes the tokens at once');
  await press(page, 'Sign out');
  await page.waitForURL((url) => url.pathname === '/logout');
  assert.deepEqual(await families('spa'), []);
  await choose(page, 'decision', 'sign_out');
  await arrive();
  await said('Nobody is signed in.');
}

async function native(guide) {
  await guide.run('client create');
  await settled();
  const person = visitor(vs.issuer);
  const address = async (program) => (await program.line(/^http\S+$/m))[0];
  const store = path.join(guide.folder, 'desk.session');

  const refused = guide.start('app.mjs');
  await get(await back(person, await address(refused), demo(), 'deny'));
  assert.deepEqual(await refused.end(), { code: 1, printed: `Open this address in a browser:\n${await address(refused)}\nThat failed: access_denied\n` });
  guide.says('access_denied');

  const first = guide.start('app.mjs');
  const page = await get(await back(person, await address(first), demo()));
  assert.equal(await page.text(), 'You can close this page.');
  await first.line(/^Signed in as demo\.$/m);
  assert.equal((await first.end()).code, 0);
  assert.equal((await stat(store)).mode & 0o777, 0o600);

  guide.says('Started again, it says so at once');
  const kept = await readFile(store, 'utf8');
  assert.deepEqual(await guide.start('app.mjs').end(), { code: 0, printed: 'Signed in as demo.\n' });
  assert.notEqual(await readFile(store, 'utf8'), kept);
  guide.says('For 30 seconds it brings the same successor');
  await writeFile(store, kept);
  assert.deepEqual(await guide.start('app.mjs').end(), { code: 0, printed: 'Signed in as demo.\n' });

  guide.says('`offline_access` keeps the program signed in when the person signs out of the browser');
  const account = await person.open(`${vs.issuer}/account`);
  const [form] = account.forms.filter(({ action }) => action.endsWith('/account/sign-out'));
  await person.submit({ ...account, forms: [form] }, {});
  assert.equal((await families('native')).length, 1);

  guide.says('node app.mjs sign-out');
  assert.deepEqual(await guide.start('app.mjs', { args: ['sign-out'] }).end(), { code: 0, printed: 'Signed out.\n' });
  assert.deepEqual(await families('native'), []);
  await assert.rejects(readFile(store), { code: 'ENOENT' });

  guide.says('on the page `/account` of the issuer the program is listed by its name');
  const second = guide.start('app.mjs');
  await get(await back(person, await address(second), demo()));
  await second.end();
  const listed = await person.open(`${vs.issuer}/account`);
  assert.ok(listed.text.includes('Corner Desk'), listed.text);
  const [{ sid }] = await families('native');
  await person.submit(listed, { sid });
  const third = guide.start('app.mjs');
  guide.says('the next refresh is refused, and the program asks for a sign-in');
  const { away } = await person.open(await address(third));
  assert.ok(away.searchParams.get('code'), 'one made by the command line asks once for the same scopes');
  await get(away);
  await third.line(/^Signed in as demo\.$/m);
}

async function device(guide) {
  await guide.run('client create');
  await settled();
  const shown = async (program) => (await program.line(/^Open (\S+) and enter (\S+)$/m)).slice(1);
  await atBrowser(async (page) => {
    const device = guide.start('device.mjs');
    const [address, code] = await shown(device);
    await page.goto(address);
    await send(page, { user_code: code });
    await signIn(page, demo());
    const text = await page.locator('main').innerText();
    guide.says('The page says which application asks, for what, and from which address, and warns of codes that somebody sent');
    for (const part of ['Living Room', code, 'demo:read', '127.0.0.1', 'Did somebody send you this code?']) assert.ok(text.includes(part), `${part} in ${text}`);
    await allow(page);
    guide.says('within five seconds the device says "Signed in as demo."');
    await device.line(/^Signed in as demo\.$/m);
    assert.equal((await device.end()).code, 0);

    guide.says('What is allowed is for this one device: the next one asks again');
    const other = guide.start('device.mjs');
    await page.goto((await other.line(/^Or scan (\S+)$/m))[1]);
    if (where(page) === '/device') await send(page, { user_code: (await shown(other))[1] });
    await deny(page);
    await other.line(new RegExp(`^Not signed in: ${guide.says('access_denied')}$`, 'm'));

    await page.goto(address);
    await send(page, { user_code: code });
    assert.ok((await page.getByRole('alert').innerText()).startsWith(guide.says('This code is wrong or has expired')));

    guide.says('The device does not end with the browser that let it in, with or without `offline_access`');
    await page.goto(`${vs.issuer}/account`);
    assert.ok((await page.locator('main').innerText()).includes(guide.says('Apps that have access')));
    await page.locator('form[action$="/account/sign-out"] button').click();
    await page.waitForURL((url) => url.pathname === '/signed-out');
  });
  assert.equal((await families('device')).length, 1);
  await guide.run('session revoke');
  assert.deepEqual(await families('device'), []);

  const client = { client_id: 'device' };
  const { device_code } = await (await post(`${vs.issuer}/device_authorization`, client)).json();
  const poll = async () => (await post(`${vs.issuer}/token`, {
    ...client, device_code, grant_type: 'urn:ietf:params:oauth:grant-type:device_code',
  })).json();
  assert.equal((await poll()).error, guide.says('authorization_pending'));
  assert.equal((await poll()).error, guide.says('slow_down'));
}

async function service(guide) {
  const made = await guide.run('client create');
  await settled();
  const service = async (secret) => guide.start('service.mjs', { env: { CLIENT_SECRET: secret } }).end();
  const good = { code: 0, printed: `${guide.says('A token for https://api.demo.example/ with demo:read, good for 300 s.')}\nThe second request uses the same one.\n` };
  assert.deepEqual(await service(made.client_secret), good);
  guide.says('401, `OAUTH_WWW_AUTHENTICATE_CHALLENGE`');
  assert.deepEqual(await service('not the secret'), { code: 1, printed: 'No token: OAUTH_WWW_AUTHENTICATE_CHALLENGE 401\n' });

  const config = await oidc.discovery(new URL(vs.issuer), 'billing', undefined, oidc.ClientSecretBasic(made.client_secret), {
    execute: [oidc.allowInsecureRequests],
  });
  const { access_token } = await oidc.clientCredentialsGrant(config);
  guide.says('Its `sub` is the client');
  assert.equal(peek(access_token).claims.sub, 'billing');
  for (const [parameters, error] of [
    [{ scope: 'openid' }, 'invalid_scope'], [{ scope: 'demo:write' }, 'invalid_scope'], [{ resource: 'https://api.demo.example' }, 'invalid_target'],
  ]) {
    assert.equal((await refusal(oidc.clientCredentialsGrant(config, parameters))).error, guide.says(error));
  }

  guide.says('the old one is good until the next one is made');
  const second = await guide.run('client rotate-secret');
  await settled();
  assert.deepEqual(await service(second.client_secret), good);
  assert.deepEqual(await service(made.client_secret), good);

  guide.says('From then on it gets nothing');
  await guide.run('client update');
  await settled();
  assert.equal((await service(second.client_secret)).code, 1);
}

async function agent(guide, place, document) {
  await guide.run('resource create');
  await settled();
  const server = guide.start('server.mjs');
  await server.line(/^Serving /m);
  const person = visitor(vs.issuer);

  const introduced = async (env, id) => {
    const client = guide.start('client.mjs', { env });
    const [, known] = await client.line(/^Known as (\S+)$/m);
    assert.match(known, id);
    let page = await person.open((await client.line(/^http\S+$/m))[0]);
    if (page.url.includes('/sign-in')) page = await person.submit(page, demo());
    for (const part of ['Corner Agent registered itself', 'Nobody here has checked it', 'notes:read']) {
      assert.ok(page.text.includes(part), `${part} in ${page.text}`);
    }
    await get((await person.submit(page, { decision: 'allow' })).away);
    await client.line(/^The server answers 200\.$/m);
    await client.line(/^After a refresh it answers 200\.$/m);
    assert.equal((await client.end()).code, 0);
    return known;
  };
  guide.says('The page says that "Corner Agent" registered itself, and that nobody has checked it');
  const client_id = await introduced({}, /^client-/);

  const site = await serveFiles(guide.folder, new URL(document).port);
  try {
    assert.equal((await metadata()).client_id_metadata_document_supported, true);
    await introduced({ CLIENT_ID: document }, new RegExp(`^${document}$`));
    guide.says('a consent page each time');
    await introduced({ CLIENT_ID: document }, new RegExp(`^${document}$`));
  } finally {
    site.stop();
  }

  const challenged = await post(`${place}/mcp`, {}, { authorization: 'Bearer nonsense' });
  assert.match(challenged.headers.get('www-authenticate'), /error="invalid_token", resource_metadata="/);
  const callback = 'http://127.0.0.1:4711/callback';
  const register = (metadata) => fetch(`${vs.issuer}/register`, {
    method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(metadata), signal: limit(),
  });
  const { error } = await (await register({ redirect_uris: ['http://agent.example/callback'] })).json();
  assert.equal(error, guide.says('invalid_redirect_uri'));

  await vs.cli('resource', 'create', 'https://later.example/mcp', '--scope', 'notes:write');
  await vs.cli('resource', 'create', 'https://closed.example/mcp', '--scope', 'ledger:read', '--closed');
  await settled();
  guide.says('One that is open may be asked for whenever it was made');
  const late = await person.open(asked(client_id, { redirect_uri: callback, resource: 'https://later.example/mcp' }));
  assert.ok(late.text.includes('notes:write'), late.text);
  const closed = await person.open(asked(client_id, { redirect_uri: callback, resource: 'https://closed.example/mcp' }));
  assert.ok(closed.text.includes(guide.says('invalid_target')), closed.text);
  const unread = await person.open(asked(`${await freeOrigin()}/client.json`, { redirect_uri: callback }));
  assert.ok(unread.text.includes(guide.says('We do not know this app')), unread.text);
}

/** With an issuer of its own: its `web` is not that of the first page. */
async function pages() {
  const own = await start();
  try {
    const receiver = await freeOrigin();
    const { client_secret } = await own.cli('client', 'create', '--id', 'web', '--auth', 'client_secret_basic', '--grant', 'authorization_code',
      '--redirect-uri', 'https://app.example/cb', '--scope', 'openid demo:read', '--resource', own.resource);
    const guide = await openGuide(own, 'sign-in-pages.md', { 'http://127.0.0.1:3001': receiver });
    try {
      await settings(own, guide);
      await operators(own, guide);
      await looks(own, guide);
      await told(own, guide, receiver, client_secret);
      guide.finished();
    } finally {
      await guide.close();
    }
  } finally {
    await own.stop();
  }
}

/** The file of the page is one, and says what is so without it. */
async function settings(own, guide) {
  const file = path.join(guide.folder, 'pages.toml');
  assert.equal((await own.cli('config', 'check', '--config', file)).ok, true);
  const shown = await own.cli('config', 'show', '--config', file);
  const value = (key) => shown.find((line) => line.key === key).value;
  assert.deepEqual(['sessions.idle_ttl', 'sessions.absolute_ttl', 'accounts.sign_up', 'registration.mode', 'outbound.allow_private'].map(value),
    ['"24h"', '"30d"', 'false', '"closed"', 'false']);
  const bare = await own.cli('config', 'show');
  for (const key of ['sessions.idle_ttl', 'sessions.absolute_ttl']) assert.equal(bare.find((line) => line.key === key).value, value(key));
  guide.says('`dev` sets `sign_up = true`, `mode = "open"` and `allow_private = true`');
  for (const [key, set] of [['accounts.sign_up', 'true'], ['registration.mode', '"open"'], ['outbound.allow_private', 'true']]) {
    assert.equal(bare.find((line) => line.key === key).value, set);
  }
}

/** The commands about people and registrations. */
async function operators(own, guide) {
  const file = path.join(guide.folder, 'alice.password');
  await writeFile(file, 'correct horse battery', { mode: 0o600 });
  await guide.run('user create', { 'alice.password': file });
  await guide.run('user lock');
  await guide.run('user unlock');
  await guide.run('session list');
  await guide.run('session revoke');
  await guide.run('client update web --skip-consent');
  const { initial_access_token, expires_in } = await guide.run('client registration-token');
  assert.ok(initial_access_token);
  assert.equal(expires_in, 3_600);
  await guide.run('resource create');
  await settled();
  const made = await (await fetch(`${own.issuer}/register`, {
    method: 'POST', headers: { 'content-type': 'application/json' }, signal: limit(),
    body: JSON.stringify({
      redirect_uris: ['https://press.example/cb'], grant_types: ['authorization_code', 'client_credentials', 'password'],
      client_name: 'Photo Press', logo_uri: 'https://press.example/logo.svg', skip_consent: true,
    }),
  })).json();
  guide.says('such a client gets no grant without a person');
  assert.deepEqual(made.grant_types, ['authorization_code']);
  guide.says('It may ask for every resource that is not closed');
  assert.ok(words(made.scope).includes('demo:read') && !words(made.scope).includes('ledger:read'), made.scope);
  guide.says('`vouchsafe client list` shows them, with `"origin": "registered"`');
  const listed = await own.cli('client', 'list');
  assert.equal(listed.find((client) => client.client_id === made.client_id).origin, 'registered');
  const page = await visitor(own.issuer).open(`${own.issuer}/authorize?${new URLSearchParams({
    client_id: made.client_id, response_type: 'code', redirect_uri: 'https://press.example/cb', code_challenge: 'a'.repeat(43), code_challenge_method: 'S256',
  })}`);
  guide.says('Clients that registered themselves show their name and no picture');
  assert.ok(!page.html.includes('logo.svg'));
}

/** What a client looks like, and in which language. */
async function looks(own, guide) {
  await guide.run('client update web --name');
  await settled();
  const address = `${own.issuer}/authorize?${new URLSearchParams({
    client_id: 'web', response_type: 'code', scope: 'openid', code_challenge: 'a'.repeat(43), code_challenge_method: 'S256',
  })}`;
  const page = await visitor(own.issuer).open(address);
  assert.ok(page.text.includes('Corner Shop'), page.text);
  assert.ok(page.html.includes('https://shop.example/logo.svg') && page.html.includes('7a1f5c'));
  guide.says("which the page's Content-Security-Policy names");
  assert.match(page.headers.get('content-security-policy'), /img-src 'self' https:\/\/shop\.example/);
  const german = await visitor(own.issuer).open(`${address}&ui_locales=de`);
  guide.says('An application chooses by `ui_locales`');
  assert.match(german.html, /<html lang="de"/);
}

/** A sign-out that an application is told of. */
async function told(own, guide, receiver, client_secret) {
  await guide.run('client update web --backchannel-logout-uri');
  await settled();
  const heard = guide.start('heard.mjs');
  await heard.line(/^Listening$/m);
  const config = await oidc.discovery(new URL(own.issuer), 'web', undefined, oidc.ClientSecretBasic(client_secret), {
    execute: [oidc.allowInsecureRequests],
  });
  const person = visitor(own.issuer);
  const checks = { pkceCodeVerifier: oidc.randomPKCECodeVerifier(), expectedState: oidc.randomState() };
  const url = oidc.buildAuthorizationUrl(config, {
    redirect_uri: 'https://app.example/cb', scope: 'openid demo:read', state: checks.expectedState,
    code_challenge: await oidc.calculatePKCECodeChallenge(checks.pkceCodeVerifier), code_challenge_method: 'S256',
  });
  const tokens = await oidc.authorizationCodeGrant(config, await back(person, url, own), checks);
  assert.equal((await post(`${receiver}/signed-out`, { logout_token: tokens.id_token })).status, 400, 'an ID token is no logout token');
  assert.equal((await post(`${receiver}/signed-out`, {})).status, 400);
  guide.says('The person is asked, always');
  const page = await person.open(oidc.buildEndSessionUrl(config, { id_token_hint: tokens.id_token }));
  const out = await person.submit(page, { decision: 'sign_out' });
  assert.equal(new URL(out.url).pathname, guide.says('/signed-out'));
  const { sid, sub } = tokens.claims();
  guide.says('with the `sid` that stands in the ID token');
  await heard.line(new RegExp(`^Session ${sid} of ${sub} is over\\.$`, 'm'));
}

/** A test that follows a page; `places` gives what of it lies elsewhere for this reader. */
function follows(name, body, places = async () => ({})) {
  test(name, bounded, async () => {
    const there = await places();
    const guide = await openGuide(vs, name, there);
    try {
      await body(guide, ...Object.values(there));
      guide.finished();
    } finally {
      await guide.close();
    }
  });
}

const moved = async (here) => ({ [here]: await freeOrigin() });

describe('whoever follows a page of docs/guide gets what it says', { concurrency: 3 }, () => {
  follows('web-app.md', webApplication, () => moved('http://127.0.0.1:3000'));
  follows('single-page-app.md', singlePage, () => moved('http://127.0.0.1:5173'));
  follows('native-app.md', native);
  follows('device.md', device);
  follows('service.md', service);
  follows('mcp-client.md', agent, async () => ({
    ...await moved('http://127.0.0.1:4000'),
    'https://agent.example/client.json': `${await freeOrigin()}/client.json`,
  }));
  test('sign-in-pages.md', bounded, pages);
});
