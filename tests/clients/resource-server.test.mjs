// express and express-oauth2-jwt-bearer, unmodified and `strict`, as a resource server; then key rotations while it runs.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import express from 'express';
import bearer from 'express-oauth2-jwt-bearer';
import { createLocalJWKSet, jwtVerify } from 'jose';
import { apiScope, basic, get, peek, post, sleep, start, words } from './support.mjs';

const bounded = { timeout: 20_000 };
/** `keys rotate --now` signs with the next key from 5 s on, and a running server notices within one more. */
const SWITCH_MS = 6_500;
/** The library's default: an unknown kid makes it ask again, but not within 30 s of the last time. */
const DEFAULT_COOLDOWN_MS = 30_000;

let vs;
let metadata;
let scope;
let api;
/** Clients beside the demo one, as promises. */
let made;

const OTHER = 'https://other.example/';

before(async () => {
  vs = await start();
  metadata = await (await get(`${vs.issuer}/.well-known/oauth-authorization-server`)).json();
  scope = apiScope(vs);
  const own = { auth: 'client_secret_basic', grants: ['client_credentials'] };
  made = {
    resource: vs.createResource(OTHER, words(scope)),
    other: vs.createClient({ ...own, id: 'other', scope, resource: OTHER }),
    bare: vs.createClient({ ...own, id: 'bare', resource: vs.resource }),
  };
  api = await serveApi();
}, { timeout: 30_000 });
after(async () => {
  api?.stop();
  await vs?.stop();
}, { timeout: 15_000 });

/** A path each way to configure the library. */
async function serveApi() {
  const { auth, requiredScopes } = bearer;
  const common = { audience: vs.resource, strict: true };
  const discovered = { ...common, issuerBaseURL: vs.issuer };
  const { alg } = peek((await token()).access_token).header;
  const app = express().set('env', 'test').disable('x-powered-by');
  const guarded = (path, options) => app.get(path, auth(options), requiredScopes(scope),
    (request, response) => response.json({ client: request.auth.payload.client_id, kid: request.auth.header.kid }));
  guarded('/defaults', discovered);
  guarded('/eager', { ...discovered, cooldownDuration: 1_000 });
  guarded('/pinned', { ...common, issuer: vs.issuer, jwksUri: metadata.jwks_uri, tokenSigningAlg: alg });
  guarded('/other-audience', { ...discovered, audience: OTHER });
  const server = await new Promise((done, failed) => {
    const listening = app.listen(0, '127.0.0.1', (error) => (error ? failed(error) : done(listening)));
  });
  const origin = `http://127.0.0.1:${server.address().port}`;
  return {
    call: (path, authorization) => get(`${origin}${path}`, authorization === undefined ? {} : { authorization }),
    stop: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}

async function token(credentials = vs, parameters = { scope, resource: vs.resource }) {
  const response = await post(metadata.token_endpoint, { grant_type: 'client_credentials', ...parameters }, { authorization: basic(credentials) });
  const body = await response.json();
  if (response.status !== 200) throw new Error(`token: ${response.status} ${body.error}: ${body.error_description}`);
  return body;
}

const jwks = async () => (await get(metadata.jwks_uri)).json();

async function refusedAs(status, code, path, authorization) {
  const response = await api.call(path, authorization);
  assert.equal(response.status, status);
  assert.match(response.headers.get('www-authenticate'), code);
}

test('cl7 a valid token passes, however the resource server is configured', bounded, async () => {
  const { access_token: valid } = await token();
  for (const path of ['/defaults', '/eager', '/pinned']) {
    const response = await api.call(path, `Bearer ${valid}`);
    assert.equal(response.status, 200, `${path}: ${response.headers.get('www-authenticate')}`);
    assert.deepEqual(await response.json(), { client: vs.client_id, kid: peek(valid).header.kid });
  }
});

test("a person's token passes; the refresh token beside it does not", bounded, async () => {
  const response = await post(metadata.token_endpoint, {
    grant_type: 'password', username: vs.username, password: vs.password, scope, resource: vs.resource,
  }, { authorization: basic(vs) });
  const tokens = await response.json();
  assert.equal(response.status, 200, tokens.error);
  assert.equal((await api.call('/defaults', `Bearer ${tokens.access_token}`)).status, 200);
  for (const path of ['/defaults', '/pinned']) {
    await refusedAs(401, /invalid_token/, path, `Bearer ${tokens.refresh_token}`);
  }
});

test('no token, garbage, and a token that was changed', bounded, async () => {
  const { access_token: valid } = await token();
  const [head, claims, signature] = valid.split('.');
  const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const unsigned = `${encode({ ...peek(valid).header, alg: 'none' })}.${claims}.`;
  const widened = `${head}.${encode({ ...peek(valid).claims, scope: `${scope} admin` })}.${signature}`;
  await refusedAs(401, /^Bearer/, '/defaults', undefined);
  for (const wrong of ['garbage', 'a.b.c', unsigned, widened, `${head}.${claims}.${'A'.repeat(signature.length)}`]) {
    await refusedAs(401, /invalid_token/, '/defaults', `Bearer ${wrong}`);
  }
});

test('cl8 a token of one audience is refused at the other, both ways', bounded, async () => {
  await made.resource;
  const theirs = (await token(await made.other, { resource: OTHER })).access_token;
  const ours = (await token()).access_token;
  assert.equal((await api.call('/other-audience', `Bearer ${theirs}`)).status, 200);
  await refusedAs(401, /invalid_token/, '/defaults', `Bearer ${theirs}`);
  await refusedAs(401, /invalid_token/, '/other-audience', `Bearer ${ours}`);
});

test('a token without the scope is insufficient', bounded, async () => {
  const { access_token: scopeless } = await token(await made.bare, { resource: vs.resource });
  assert.deepEqual(words(peek(scopeless).claims.scope), []);
  await refusedAs(403, /insufficient_scope/, '/defaults', `Bearer ${scopeless}`);
});

test('cl6 K1 K2 K5 three forced rotations under load: no call fails', { timeout: 55_000 }, async () => {
  const failures = [];
  const kids = new Map();
  let calls = 0;
  const attempt = async (what, action) => {
    calls += 1;
    try {
      await action();
    } catch (error) {
      failures.push(`${what}: ${error.message}`);
    }
  };
  const passes = async (path, jwt) => {
    const response = await api.call(path, `Bearer ${jwt}`);
    await response.arrayBuffer();
    if (response.status !== 200) throw new Error(`${response.status} ${response.headers.get('www-authenticate')}`);
  };

  const remember = (jwt) => {
    const { kid, alg } = peek(jwt).header;
    if (!kids.has(kid)) kids.set(kid, { alg, at: Date.now(), jwt });
  };

  const oldest = (await token()).access_token;
  remember(oldest);
  await passes('/defaults', oldest);
  const defaultsAskedAgainAt = Date.now() + DEFAULT_COOLDOWN_MS;
  // What a slow cache holds: every token of the present phase must verify with it.
  let cached = createLocalJWKSet(await jwks());
  let paths = ['/eager', '/defaults'];

  let running = true;
  const load = (async () => {
    while (running) {
      await attempt('a token and its use', async () => {
        const { access_token: jwt } = await token();
        remember(jwt);
        for (const path of paths) await passes(path, jwt);
        await jwtVerify(jwt, cached, { issuer: vs.issuer, audience: vs.resource, typ: 'at+jwt' });
      });
      await attempt('the oldest token', () => passes('/eager', oldest));
      await sleep(50);
    }
  })();

  const rotate = async () => {
    const before = new Set(kids.keys());
    const published = await jwks();
    cached = createLocalJWKSet(published);
    const asked = Date.now();
    await vs.cli('keys', 'rotate', '--now', '--force', '--yes');
    await sleep(SWITCH_MS);
    const fresh = [...kids].filter(([kid]) => !before.has(kid));
    assert.equal(fresh.length, 1, `one rotation, one new signing key; failures: ${failures.slice(0, 5).join('; ')}`);
    const [kid, { alg, at }] = fresh[0];
    assert.ok(published.keys.some((key) => key.kid === kid && key.alg === alg), 'it was published before the rotation was asked for');
    assert.ok(at - asked > 3_500, `replicas have 5 s to hear of it, it signed after ${at - asked} ms`);
  };

  try {
    await rotate();
    // The key published by that rotation is in no older cache: without --force the next one is refused, and changes nothing.
    const standing = (await jwks()).keys.map(({ kid }) => kid).sort();
    await assert.rejects(vs.cli('keys', 'rotate', '--now', '--yes'), { status: 4 });
    assert.deepEqual((await jwks()).keys.map(({ kid }) => kid).sort(), standing);

    // --force outruns a cache that may not ask again for 30 s; one that may ask sooner must notice nothing.
    paths = ['/eager'];
    await rotate();
    await rotate();
  } finally {
    running = false;
    await load;
  }
  assert.deepEqual(failures, []);
  assert.ok(calls > 100, `only ${calls} calls were made`);
  assert.equal(kids.size, 4);

  const last = await jwks();
  for (const [kid, { jwt }] of kids) {
    assert.ok(last.keys.some((key) => key.kid === kid), `${kid} stays until its last token ended`);
    await passes('/eager', jwt);
  }
  await sleep(defaultsAskedAgainAt + 250 - Date.now());
  await passes('/defaults', (await token()).access_token);
  await passes('/defaults', oldest);
});
