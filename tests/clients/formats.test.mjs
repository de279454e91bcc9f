// The shapes that clients trip over, with plain fetch and no library in between.

import assert from 'node:assert/strict';
import http from 'node:http';
import { after, before, test } from 'node:test';
import { calculateJwkThumbprint } from 'jose';
import { apiScope, basic, get, limit, peek, place, post, start, words } from './support.mjs';

const bounded = { timeout: 20_000 };
const ORIGIN = 'https://app.example';
const FORM = 'application/x-www-form-urlencoded';

let vs;
let metadata;
let scope;
let authorization;
let url;
/** A public client, as a promise. */
let app;

before(async () => {
  vs = await start();
  scope = apiScope(vs);
  authorization = basic(vs);
  app = vs.createClient({ id: 'public-app', auth: 'none', grants: ['password', 'refresh_token'], scope, resource: vs.resource });
  metadata = await (await get(`${vs.issuer}/.well-known/openid-configuration`)).json();
  url = {
    token: metadata.token_endpoint,
    introspect: metadata.introspection_endpoint,
    revoke: metadata.revocation_endpoint,
    jwks: metadata.jwks_uri,
    refresh: `${vs.issuer}/refresh`,
  };
}, { timeout: 30_000 });
after(() => vs?.stop(), { timeout: 15_000 });

const own = (parameters) => ({ grant_type: 'client_credentials', scope, resource: vs.resource, ...parameters });
const persons = (parameters) => ({
  grant_type: 'password', username: vs.username, password: vs.password, scope, resource: vs.resource, ...parameters,
});

async function granted(response) {
  const body = await json(response);
  assert.equal(response.status, 200, `${body.error}: ${body.error_description}`);
  return body;
}

async function json(response) {
  assert.match(response.headers.get('content-type') ?? 'none', /^application\/json\b/, `${response.url} ${response.status}`);
  return response.json();
}

/** An RFC 6749 error object that nobody may keep. */
async function refused(response, status, error) {
  const body = await json(response);
  assert.deepEqual([response.status, body.error], [status, error], body.error_description);
  assert.match(response.headers.get('cache-control') ?? 'none', /\bno-store\b/);
  if (body.error_description !== undefined) assert.match(body.error_description, /^[\x20\x21\x23-\x5b\x5d-\x7e]*$/);
  return body;
}

test('cl2 M04 both discovery documents: equal, JSON, no redirect, our own address', bounded, async () => {
  const other = await get(`${vs.issuer}/.well-known/oauth-authorization-server`);
  assert.equal(other.status, 200);
  assert.deepEqual(await json(other), metadata);
  assert.equal(metadata.issuer, vs.issuer);
  assert.ok(metadata.token_endpoint_auth_methods_supported.includes('client_secret_basic'));
  assert.ok(metadata.grant_types_supported.includes('refresh_token'));
});

test('cl21 an answer with tokens is not kept', bounded, async () => {
  const response = await post(url.token, persons(), { authorization });
  const body = await granted(response);
  assert.match(response.headers.get('cache-control'), /\bno-store\b/);
  assert.equal(body.token_type.toLowerCase(), 'bearer');
  assert.equal(typeof body.expires_in, 'number');
  assert.equal(typeof body.refresh_token_expires_in, 'number');
  assert.deepEqual(words(body.scope), words(scope));
});

test('cl21 T01 invalid_client: 401 with a Basic challenge when Basic was used', bounded, async () => {
  for (const client_id of [vs.client_id, 'nobody']) {
    const wrong = basic({ client_id, client_secret: 'wrong-wrong-wrong-wrong-wrong-wrong-wrong' });
    for (const [endpoint, form] of [[url.token, own()], [url.introspect, { token: 'any' }], [url.revoke, { token: 'any' }]]) {
      const response = await post(endpoint, form, { authorization: wrong });
      await refused(response, 401, 'invalid_client');
      assert.match(response.headers.get('www-authenticate') ?? 'none', /^Basic\b/i, endpoint);
    }
  }
});

test('cl21 the other refusals: 400, and no challenge that would hide the body from a client', bounded, async () => {
  for (const [form, error] of [
    [own({ scope: 'unheard-of' }), 'invalid_scope'],
    [own({ resource: 'https://unknown.example/' }), 'invalid_target'],
    [{ grant_type: 'refresh_token', refresh_token: 'garbage' }, 'invalid_grant'],
    [{ grant_type: 'refresh_token' }, 'invalid_request'],
    [persons({ password: 'not the password' }), 'invalid_grant'],
    [persons({ username: 'nobody' }), 'invalid_grant'],
    [{}, 'invalid_request'],
  ]) {
    const response = await post(url.token, form, { authorization });
    await refused(response, 400, error);
    assert.equal(response.headers.get('www-authenticate'), null, error);
  }
});

test('cl22 unsupported_grant_type; a grant the client does not hold', bounded, async () => {
  await refused(await post(url.token, { grant_type: 'unheard-of' }, { authorization }), 400, 'unsupported_grant_type');
  const { client_id } = await app;
  await refused(await post(url.token, own({ client_id })), 400, 'unauthorized_client');
});

test('cl22 H10 a parameter twice', bounded, async () => {
  await refused(await post(url.token, own({ grant_type: ['client_credentials', 'client_credentials'] }), { authorization }), 400, 'invalid_request');
  await refused(await post(url.token, own({ scope: [scope, scope] }), { authorization }), 400, 'invalid_request');
  await refused(await post(url.introspect, { token: ['a', 'b'] }, { authorization }), 400, 'invalid_request');
  await refused(await post(url.revoke, { token: ['a', 'b'] }, { authorization }), 400, 'invalid_request');
});

test('T02 two ways to authenticate at once', bounded, async () => {
  const { client_id, client_secret } = vs;
  await refused(await post(url.token, own({ client_id, client_secret }), { authorization }), 400, 'invalid_request');
});

test('H11 parameters in the query are not taken', bounded, async () => {
  const query = new URLSearchParams(own());
  await refused(await post(`${url.token}?${query}`, {}, { authorization }), 400, 'invalid_request');
});

test('H15 an empty value is as none', bounded, async () => {
  const body = await granted(await post(url.token, own({ scope: '' }), { authorization }));
  assert.ok(words(scope).every((one) => words(body.scope).includes(one)));
});

test('cl22 H13 a body that is no form', bounded, async () => {
  const form = new URLSearchParams(own()).toString();
  for (const [type, body] of [
    ['application/json', JSON.stringify(own())],
    ['text/plain', form],
    ['multipart/form-data; boundary=x', '--x\r\nContent-Disposition: form-data; name="grant_type"\r\n\r\nclient_credentials\r\n--x--\r\n'],
    [undefined, form],
  ]) {
    for (const endpoint of [url.token, url.introspect, url.revoke]) {
      const headers = type === undefined ? { authorization } : { authorization, 'content-type': type };
      const response = await fetch(endpoint, { method: 'POST', headers, body: Buffer.from(body), redirect: 'manual', signal: limit() });
      await refused(response, 400, 'invalid_request');
    }
  }
  const charset = { authorization, 'content-type': `${FORM};charset=UTF-8` };
  await granted(await fetch(url.token, { method: 'POST', headers: charset, body: form, signal: limit() }));
});

test('cl22 H16 bytes that are no text', bounded, async () => {
  for (const bytes of ['%00', '%0d%0a', '%ff', '%c0%af', '%ed%a0%80']) {
    const response = await fetch(url.token, {
      method: 'POST', headers: { authorization, 'content-type': FORM }, body: `grant_type=client_credentials&scope=a${bytes}b`, signal: limit(),
    });
    const body = await json(response);
    assert.equal(response.status, 400, bytes);
    assert.equal(typeof body.error, 'string');
  }
});

test('cl22 H12 another method: 405 with Allow, as JSON', bounded, async () => {
  for (const endpoint of [url.token, url.introspect, url.revoke, url.refresh]) {
    for (const method of ['GET', 'PUT', 'DELETE']) {
      const response = await fetch(endpoint, { method, redirect: 'manual', signal: limit() });
      const body = await json(response);
      assert.equal(response.status, 405, `${method} ${endpoint}`);
      assert.equal(typeof body.error, 'string');
      assert.match(response.headers.get('allow') ?? 'none', /\bPOST\b/);
    }
  }
  const response = await post(url.jwks, {});
  assert.equal(response.status, 405);
  assert.match(response.headers.get('allow') ?? 'none', /\bGET\b/);
});

test('cl22 a path that is not there: 404 as JSON', bounded, async () => {
  const response = await post(`${vs.issuer}/not-there`, {});
  assert.equal(response.status, 404);
  await json(response);
});

test('cl22 H01 a body of 3 MB', bounded, async () => {
  const response = await postSlowly(url.token, 3_000_000);
  assert.ok(response.status >= 400 && response.status < 500, `status ${response.status}`);
  assert.match(response.type ?? 'none', /^application\/json\b/);
  assert.equal(typeof JSON.parse(response.body).error, 'string');
});

/** Sends a part of the body, gives the server time to answer, then the rest: a refusal is not lost behind a broken pipe. */
function postSlowly(address, length) {
  const body = Buffer.concat([Buffer.from('grant_type='), Buffer.alloc(length - 11, 'a')]);
  return new Promise((done, failed) => {
    const request = http.request(address, {
      method: 'POST', agent: false, timeout: 8_000,
      headers: { authorization, 'content-type': FORM, 'content-length': length },
    });
    const rest = setTimeout(() => request.end(body.subarray(100_000)), 500);
    request.write(body.subarray(0, 100_000));
    request.on('timeout', () => request.destroy(new Error('no answer within 8 s')));
    request.on('error', failed);
    request.on('response', async (response) => {
      clearTimeout(rest);
      try {
        const text = Buffer.concat(await response.toArray()).toString();
        done({ status: response.statusCode, type: response.headers['content-type'], body: text });
      } catch (error) {
        failed(error);
      } finally {
        request.destroy();
      }
    });
  });
}

test('cl14 R01 revocation: 200, empty, without Content-Type, also for what is unknown', bounded, async () => {
  const tokens = await granted(await post(url.token, persons(), { authorization }));
  const { client_id } = await app;
  const theirs = await granted(await post(url.token, persons({ client_id })));
  for (const [form, headers] of [
    [{ token: tokens.access_token }, { authorization }],
    [{ token: tokens.access_token }, { authorization }],
    [{ token: tokens.refresh_token, token_type_hint: 'refresh_token' }, { authorization }],
    [{ token: 'unheard-of', token_type_hint: 'unheard-of' }, { authorization }],
    [{ token: theirs.refresh_token, client_id }, {}],
  ]) {
    const response = await post(url.revoke, form, headers);
    assert.equal(response.status, 200);
    assert.equal(await response.text(), '');
    assert.equal(response.headers.get('content-type'), null);
  }
  await refused(await post(url.revoke, {}, { authorization }), 400, 'invalid_request');
  await refused(await post(url.revoke, { token: tokens.access_token }), 401, 'invalid_client');
});

test('cl25 I03 introspection: {"active":false} and nothing else for what is not live or not theirs', bounded, async () => {
  const tokens = await granted(await post(url.token, persons(), { authorization }));
  const next = await granted(await post(url.token, { grant_type: 'refresh_token', refresh_token: tokens.refresh_token }, { authorization }));
  const newest = await granted(await post(url.token, { grant_type: 'refresh_token', refresh_token: next.refresh_token }, { authorization }));
  const { client_id } = await app;
  const theirs = await granted(await post(url.token, persons({ client_id })));
  const changed = newest.access_token.replace(/.{6}$/, 'AAAAAA');
  const [head, claims] = newest.access_token.split('.');
  const unsigned = `${Buffer.from(JSON.stringify({ ...peek(newest.access_token).header, alg: 'none' })).toString('base64url')}.${claims}.`;
  for (const token of ['unheard-of', 'a.b.c', `${head}.${claims}.`, changed, unsigned, tokens.refresh_token, theirs.refresh_token]) {
    const response = await post(url.introspect, { token }, { authorization });
    assert.deepEqual(await granted(response), { active: false });
    assert.match(response.headers.get('cache-control'), /\bno-store\b/);
  }
  for (const token of [newest.access_token, newest.refresh_token]) {
    for (const token_type_hint of ['access_token', 'refresh_token', 'unheard-of']) {
      assert.equal((await granted(await post(url.introspect, { token, token_type_hint }, { authorization }))).active, true);
    }
  }
});

test('cl25 I01 introspection needs credentials', bounded, async () => {
  const { access_token: token } = await granted(await post(url.token, own(), { authorization }));
  const { client_id } = await app;
  for (const [form, headers] of [
    [{ token }, {}],
    [{ token, client_id }, {}],
    [{ token, client_id: vs.client_id }, {}],
    [{ token }, { authorization: `Bearer ${token}` }],
  ]) await refused(await post(url.introspect, form, headers), 401, 'invalid_client');
});

test('cl4 M01 M02 K8 the JWKS', bounded, async () => {
  const response = await get(url.jwks);
  assert.equal(response.status, 200);
  assert.match(response.headers.get('content-type'), /^application\/(jwk-set\+)?json\b/);
  assert.match(response.headers.get('cache-control'), /\bmax-age=[1-9]/);
  const { keys } = await response.json();
  for (const key of keys) {
    assert.equal(key.use, 'sig');
    assert.ok(['RSA', 'EC', 'OKP'].includes(key.kty), key.kty);
    assert.match(key.alg, /^(RS|PS|ES|Ed)/);
    assert.equal(key.kid, await calculateJwkThumbprint(key));
    for (const member of ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k']) assert.ok(!(member in key), member);
  }
  assert.equal(new Set(keys.map(({ kid }) => kid)).size, keys.length);

  const { access_token } = await granted(await post(url.token, own(), { authorization }));
  const { kid, alg, typ } = peek(access_token).header;
  assert.equal(typ, 'at+jwt');
  assert.equal(keys.find((key) => key.kid === kid)?.alg, alg, 'cl5 the kid of a token is in the JWKS');
  assert.ok(keys.filter((key) => key.alg === alg).length >= 2, 'the key that signs next is published already');

  const etag = response.headers.get('etag');
  assert.ok(etag);
  const unchanged = await get(url.jwks, { 'if-none-match': etag });
  assert.equal(unchanged.status, 304);
  assert.equal(await unchanged.text(), '');
});

test('cl5 RS256 is there for those who know nothing else', bounded, async () => {
  const { keys } = await (await get(url.jwks)).json();
  assert.ok(keys.some(({ alg }) => alg === 'RS256'));
  assert.ok(metadata.id_token_signing_alg_values_supported.includes('RS256'));
});

test('cl13 H19 preflight from any origin', bounded, async () => {
  for (const [endpoint, method] of [
    [url.token, 'POST'], [url.refresh, 'POST'], [url.revoke, 'POST'], [url.jwks, 'GET'],
    [`${vs.issuer}/.well-known/openid-configuration`, 'GET'], [`${vs.issuer}/.well-known/oauth-authorization-server`, 'GET'],
  ]) {
    const response = await fetch(endpoint, {
      method: 'OPTIONS', redirect: 'manual', signal: limit(),
      headers: { origin: ORIGIN, 'access-control-request-method': method, 'access-control-request-headers': 'authorization,content-type' },
    });
    assert.ok([200, 204].includes(response.status), `${endpoint} ${response.status}`);
    assert.equal(response.headers.get('access-control-allow-origin'), '*');
    assert.equal(response.headers.get('access-control-allow-credentials'), null);
    const list = (name) => words((response.headers.get(name) ?? '').toLowerCase().replaceAll(',', ' '));
    assert.ok(list('access-control-allow-methods').includes(method.toLowerCase()), `${endpoint} ${method}`);
    // `*` does not cover Authorization, so it must be named.
    for (const header of ['authorization', 'content-type']) {
      assert.ok(list('access-control-allow-headers').includes(header), `${endpoint} ${header}`);
    }
  }
});

test('cl13 H19 CORS on the answers, refusals too', bounded, async () => {
  const headers = { origin: ORIGIN, authorization };
  const wrong = { origin: ORIGIN, authorization: basic({ client_id: 'nobody', client_secret: 'wrong-wrong-wrong-wrong-wrong-wrong-wrong' }) };
  for (const [response, status] of [
    [await post(url.token, own(), headers), 200],
    [await post(url.token, own(), wrong), 401],
    [await post(url.token, {}, headers), 400],
    [await fetch(url.token, { headers, signal: limit() }), 405],
    [await fetch(url.token, { method: 'POST', headers: { ...headers, 'content-type': 'text/plain' }, body: 'x', signal: limit() }), 400],
    [await post(url.refresh, { refresh_token: 'garbage' }, headers), 400],
    [await post(url.revoke, { token: 'unheard-of' }, headers), 200],
    [await post(url.revoke, { token: 'unheard-of' }, wrong), 401],
    [await get(url.jwks, { origin: ORIGIN }), 200],
    [await get(`${vs.issuer}/.well-known/openid-configuration`, { origin: ORIGIN }), 200],
    [await get(`${vs.issuer}/.well-known/oauth-authorization-server`, { origin: ORIGIN }), 200],
  ]) {
    await response.arrayBuffer();
    assert.equal(response.status, status, response.url);
    assert.equal(response.headers.get('access-control-allow-origin'), '*', `${response.url} ${status}`);
    assert.equal(response.headers.get('access-control-allow-credentials'), null);
    const exposed = (response.headers.get('access-control-expose-headers') ?? '').toLowerCase();
    for (const header of ['www-authenticate', 'dpop-nonce']) assert.ok(exposed.includes(header), `${response.url} ${status} ${header}`);
  }
});

test('cl13 H19 no CORS at the authorization endpoint', bounded, async () => {
  const response = await get(`${vs.issuer}/authorize`, { origin: ORIGIN });
  assert.equal(response.headers.get('access-control-allow-origin'), null);
});

test('/refresh takes JSON and a form, and answers as /token does', bounded, async () => {
  const { client_id } = await app;
  const first = await granted(await post(url.token, persons({ client_id })));
  const answer = await fetch(url.refresh, {
    method: 'POST', headers: { 'content-type': 'application/json' }, signal: limit(),
    body: JSON.stringify({ refresh_token: first.refresh_token, client_id }),
  });
  const second = await granted(answer);
  assert.match(answer.headers.get('cache-control'), /\bno-store\b/);
  assert.notDeepEqual(place(second.refresh_token), place(first.refresh_token));
  const third = await granted(await post(url.refresh, { refresh_token: second.refresh_token, client_id }));
  assert.deepEqual(Object.keys(third).sort(), Object.keys(second).sort());
  const body = await refused(await post(url.refresh, { refresh_token: first.refresh_token, client_id }), 400, 'invalid_grant');
  assert.equal(body.reason, 'superseded');
});
