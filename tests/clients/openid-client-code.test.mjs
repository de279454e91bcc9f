// openid-client v6, unmodified, with a person who signs in, decides, and goes back: code, PAR, device, refresh, logout.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, test } from 'node:test';
import * as client from 'openid-client';
import { basic, get, limit, peek, place, post, refusal, sleep, start, words } from './support.mjs';
import { back, metadataOf, visitor } from './visitor.mjs';

const bounded = { timeout: 30_000 };
/** A running server notices what the command line changed within one second. */
const NOTICE_MS = 1_500;
const ORIGIN = 'https://spa.example';
const CALLBACK = 'https://app.example/cb';
const BYE = 'https://app.example/bye';
const SCOPE = 'openid profile email offline_access demo:read';

let vs;
let metadata;
/** Configurations by client id. */
const configs = {};

before(async () => {
  vs = await start();
  metadata = await metadataOf(vs);
  const create = async (id, ...flags) => {
    const made = await vs.cli('client', 'create', '--id', id, '--name', `Client ${id}`, '--scope', SCOPE, '--resource', vs.resource,
      '--grant', 'authorization_code', '--grant', 'refresh_token', ...flags);
    return [id, made.client_secret];
  };
  const web = ['--auth', 'client_secret_basic', '--redirect-uri', CALLBACK];
  const made = [
    await create('web', ...web, '--post-logout-redirect-uri', BYE, '--grant', 'urn:ietf:params:oauth:grant-type:device_code'),
    await create('lax', ...web, '--pkce-optional'),
    await create('curved', ...web, '--id-token-signed-response-alg', 'ES256'),
    await create('pair', ...web, '--subject-type', 'pairwise'),
    await create('trusted', ...web, '--skip-consent'),
    await create('native', '--auth', 'none', '--application-type', 'native', '--redirect-uri', 'http://127.0.0.1/callback'),
  ];
  await sleep(NOTICE_MS);
  for (const [id, secret] of made) configs[id] = await configure(id, secret);
}, { timeout: 60_000 });
after(() => vs?.stop(), { timeout: 15_000 });

async function configure(client_id, client_secret) {
  const method = client_secret === undefined ? client.None() : client.ClientSecretBasic(client_secret);
  const config = await client.discovery(new URL(vs.issuer), client_id, undefined, method, {
    timeout: 5, execute: [client.allowInsecureRequests],
  });
  client.enableNonRepudiationChecks(config);
  return config;
}

/** An authorization request and what to check its answer with. */
async function request(parameters) {
  const checks = {
    pkceCodeVerifier: client.randomPKCECodeVerifier(), expectedState: client.randomState(), expectedNonce: client.randomNonce(),
  };
  const asked = {
    redirect_uri: CALLBACK,
    scope: 'openid demo:read',
    state: checks.expectedState,
    nonce: checks.expectedNonce,
    code_challenge: await client.calculatePKCECodeChallenge(checks.pkceCodeVerifier),
    code_challenge_method: 'S256',
    ...parameters,
  };
  return { asked, checks };
}

async function begin(config, parameters) {
  const { asked, checks } = await request(parameters);
  return { url: client.buildAuthorizationUrl(config, asked), checks };
}

/** The whole way of a person through the code flow. */
async function signedIn(config, person, parameters) {
  const { url, checks } = await begin(config, parameters);
  return client.authorizationCodeGrant(config, await back(person, url, vs), checks);
}

const newcomer = () => visitor(vs.issuer);
const half = (text) => createHash('sha256').update(text).digest().subarray(0, 16).toString('base64url');
const at = (page) => new URL(page.url ?? page.away).pathname;

test('cl1 cl2 cl5 cl11 cl12 M04 discovery lists what a client looks for, and only what is kept', bounded, async () => {
  assert.equal(metadata.issuer, vs.issuer);
  for (const name of [
    'authorization_endpoint', 'token_endpoint', 'userinfo_endpoint', 'jwks_uri', 'pushed_authorization_request_endpoint',
    'device_authorization_endpoint', 'end_session_endpoint', 'introspection_endpoint', 'revocation_endpoint', 'registration_endpoint',
  ]) {
    assert.ok(metadata[name]?.startsWith(`${vs.issuer}/`), `${name}: ${metadata[name]}`);
  }
  assert.deepEqual(metadata.response_types_supported, ['code']);
  assert.deepEqual(metadata.code_challenge_methods_supported, ['S256']);
  assert.deepEqual(words(metadata.response_modes_supported.join(' ')), ['form_post', 'query']);
  assert.equal(metadata.authorization_response_iss_parameter_supported, true);
  for (const [name, wanted] of [
    ['grant_types_supported', ['authorization_code', 'refresh_token', 'urn:ietf:params:oauth:grant-type:device_code']],
    ['token_endpoint_auth_methods_supported', ['none', 'client_secret_basic', 'client_secret_post']],
    ['id_token_signing_alg_values_supported', ['RS256']],
    ['subject_types_supported', ['public', 'pairwise']],
    ['scopes_supported', ['openid', 'profile', 'email', 'offline_access']],
  ]) {
    for (const one of wanted) assert.ok(metadata[name].includes(one), `${name} has ${metadata[name]}`);
  }
  assert.ok(!metadata.id_token_signing_alg_values_supported.includes('none'));
  for (const name of ['request_parameter_supported', 'request_uri_parameter_supported']) assert.equal(metadata[name], false, name);
});

test('cl5 cl7 cl10 cl24 authorizationCodeGrant with PKCE: access token, ID token, user info', bounded, async () => {
  const { web } = configs;
  const person = newcomer();
  const tokens = await signedIn(web, person, { scope: SCOPE });
  assert.deepEqual(words(tokens.scope), words(SCOPE));
  const access = peek(tokens.access_token);
  assert.equal(access.header.typ, 'at+jwt');
  assert.equal(access.claims.aud, vs.resource);
  assert.equal(access.claims.client_id, 'web');
  const { header, claims } = peek(tokens.id_token);
  assert.equal(header.alg, 'RS256');
  assert.ok(header.kid);
  assert.equal(claims.iss, vs.issuer);
  assert.equal(claims.aud, 'web');
  assert.equal(claims.at_hash, half(tokens.access_token));
  assert.ok(Math.abs(claims.auth_time - Date.now() / 1_000) < 60, `auth_time ${claims.auth_time}`);
  assert.equal(claims.sid, access.claims.sid);
  assert.equal(claims.sub, access.claims.sub);
  const user = await client.fetchUserInfo(web, tokens.access_token, claims.sub);
  assert.equal(user.preferred_username, vs.username);
});

test('cl8 cl9 cl19 refreshTokenGrant after a sign-in: the same audience, the same sid, the claims again', bounded, async () => {
  const { web } = configs;
  const first = await signedIn(web, newcomer());
  assert.ok(first.refresh_token, 'a refresh token without offline_access');
  const second = await client.refreshTokenGrant(web, first.refresh_token);
  assert.equal(peek(second.access_token).claims.aud, vs.resource);
  assert.equal(peek(second.access_token).claims.sid, peek(first.access_token).claims.sid);
  if (second.id_token) {
    const [before, now] = [first.claims(), second.claims()];
    assert.deepEqual([now.iss, now.sub, now.aud, now.auth_time, now.sid], [before.iss, before.sub, before.aud, before.auth_time, before.sid]);
  }
  assert.deepEqual(place((await client.refreshTokenGrant(web, first.refresh_token)).refresh_token), place(second.refresh_token));
});

test('cl25 tokenIntrospection and tokenRevocation of what a person was given', bounded, async () => {
  const { web } = configs;
  const tokens = await signedIn(web, newcomer());
  const live = await client.tokenIntrospection(web, tokens.access_token);
  assert.deepEqual([live.active, live.sub, live.client_id], [true, tokens.claims().sub, 'web']);
  await client.tokenRevocation(web, tokens.refresh_token);
  assert.deepEqual(await client.tokenIntrospection(web, tokens.access_token), { active: false });
  assert.equal((await refusal(client.refreshTokenGrant(web, tokens.refresh_token))).error, 'invalid_grant');
});

test('P03 P04 buildAuthorizationUrlWithPAR: used once, and by its client alone', bounded, async () => {
  const { web, lax } = configs;
  const person = newcomer();
  const { asked, checks } = await request();
  const url = await client.buildAuthorizationUrlWithPAR(web, asked);
  assert.deepEqual([...url.searchParams.keys()].sort(), ['client_id', 'request_uri']);
  const stolen = new URL(url);
  stolen.searchParams.set('client_id', lax.clientMetadata().client_id);
  const refused = await person.open(stolen);
  assert.ok(refused.status >= 400 || refused.away?.searchParams.has('error'), `${refused.status} at ${refused.url}`);
  const tokens = await client.authorizationCodeGrant(web, await back(person, url, vs), checks);
  assert.ok(tokens.claims().sub);
  const again = await person.open(url);
  assert.ok(again.status >= 400 || again.away?.searchParams.has('error'), `${again.status} at ${again.url}`);
});

test('T20 T24 a code is good once, and for its verifier alone', bounded, async () => {
  const { web } = configs;
  const person = newcomer();
  const spoilt = await begin(web);
  const wrong = { ...spoilt.checks, pkceCodeVerifier: client.randomPKCECodeVerifier() };
  const address = await back(person, spoilt.url, vs);
  assert.equal((await refusal(client.authorizationCodeGrant(web, address, wrong))).error, 'invalid_grant');

  const { url, checks } = await begin(web);
  const callback = await back(person, url, vs);
  const tokens = await client.authorizationCodeGrant(web, callback, checks);
  assert.equal((await refusal(client.authorizationCodeGrant(web, callback, checks))).error, 'invalid_grant');
  assert.ok((await client.refreshTokenGrant(web, tokens.refresh_token)).access_token, 'a lost response costs nobody the session');
});

test('A10 A17 A27 refusals come back with iss and state', bounded, async () => {
  const { web, native } = configs;
  for (const [config, parameters, error] of [
    [web, { prompt: 'none' }, 'login_required'],
    [web, { prompt: 'none login' }, 'invalid_request'],
    [web, { max_age: '-1' }, 'invalid_request'],
    [web, { response_type: 'token' }, 'unsupported_response_type'],
    [web, { code_challenge_method: 'plain' }, 'invalid_request'],
    [web, { scope: 'openid unheard-of' }, 'invalid_scope'],
    [web, { resource: 'https://unknown.example/' }, 'invalid_target'],
    [web, { request: 'a.b.c', response_type: 'code' }, 'request_not_supported'],
    [native, { redirect_uri: 'http://127.0.0.1:4711/callback', code_challenge: '' }, 'invalid_request'],
  ]) {
    const { url, checks } = await begin(config, parameters);
    const { away, status, text } = await newcomer().open(url);
    assert.ok(away, `${JSON.stringify(parameters)}: ${status} ${text}`);
    await assert.rejects(client.authorizationCodeGrant(config, away, checks), (thrown) => {
      assert.equal(thrown.error, error, `${JSON.stringify(parameters)}: ${thrown.message}`);
      return true;
    });
    assert.equal(away.searchParams.get('iss'), vs.issuer);
    assert.equal(away.searchParams.get('state'), checks.expectedState);
  }
});

test('A01 A02 A05 what may not be redirected to is shown on a page', bounded, async () => {
  const { web, native } = configs;
  for (const [config, parameters] of [
    [web, { client_id: 'nobody' }],
    [web, { redirect_uri: `${CALLBACK}/` }],
    [web, { redirect_uri: `${CALLBACK}?more=1` }],
    [web, { redirect_uri: 'https://app.example/%63b' }],
    [native, { redirect_uri: 'http://localhost:4711/callback' }],
    [native, { redirect_uri: 'http://127.0.0.1:4711/other' }],
  ]) {
    const { url } = await begin(config, parameters);
    const page = await newcomer().open(url);
    assert.equal(page.status, 400, `${JSON.stringify(parameters)}: ${page.away}`);
    assert.match(page.headers.get('content-type'), /^text\/html\b/);
  }
});

test('cl16 A05 a native client comes back at whatever port it listens on', bounded, async () => {
  const { native } = configs;
  for (const port of [4711, 51004]) {
    const tokens = await signedIn(native, newcomer(), { redirect_uri: `http://127.0.0.1:${port}/callback`, scope: 'openid offline_access' });
    assert.ok(tokens.refresh_token);
    assert.equal(tokens.claims().aud, 'native');
  }
});

test('access_denied comes back, and asks again the next time', bounded, async () => {
  const { curved } = configs;
  const person = newcomer();
  for (let round = 0; round < 2; round += 1) {
    const { url, checks } = await begin(curved);
    const away = await back(person, url, vs, 'deny');
    await assert.rejects(client.authorizationCodeGrant(curved, away, checks), { error: 'access_denied' });
  }
});

test('an ID token by the algorithm of the client', bounded, async () => {
  const tokens = await signedIn(configs.curved, newcomer());
  assert.equal(peek(tokens.id_token).header.alg, 'ES256');
  assert.equal(tokens.claims().at_hash, half(tokens.access_token));
});

test('a pairwise client knows a person by a name of its own, everywhere the same', bounded, async () => {
  const { web, pair } = configs;
  const [publicly, pairwise] = [await signedIn(web, newcomer()), await signedIn(pair, newcomer())];
  const { sub } = pairwise.claims();
  assert.notEqual(sub, publicly.claims().sub);
  assert.equal((await client.fetchUserInfo(pair, pairwise.access_token, sub)).sub, sub);
  assert.equal((await signedIn(pair, newcomer())).claims().sub, sub);
});

test('cl17 A10 without PKCE where the client may, with a nonce', bounded, async () => {
  const { lax } = configs;
  const bare = { code_challenge: '', code_challenge_method: '' };
  const { url, checks: { expectedState, expectedNonce } } = await begin(lax, bare);
  const tokens = await client.authorizationCodeGrant(lax, await back(newcomer(), url, vs), { expectedState, expectedNonce });
  assert.ok(tokens.claims().sub);
  const without = await begin(lax, { ...bare, nonce: '' });
  const { away } = await newcomer().open(without.url);
  assert.equal(away?.searchParams.get('error'), 'invalid_request');
});

test('a trusted client asks nobody, and its person not twice', bounded, async () => {
  const { trusted } = configs;
  const person = newcomer();
  const first = await begin(trusted);
  const page = await person.open(first.url);
  assert.equal(at(page), '/sign-in');
  const { away } = await person.submit(page, { username: vs.username, password: vs.password });
  assert.ok(away, 'no consent page');
  const second = await begin(trusted, { prompt: 'none' });
  assert.ok((await person.open(second.url)).away.searchParams.get('code'));
});

test('cl24 max_age and prompt=login ask again, and auth_time tells', { timeout: 45_000 }, async () => {
  const { trusted } = configs;
  const person = newcomer();
  const first = (await signedIn(trusted, person)).claims();
  await sleep(2_100);
  for (const parameters of [{ prompt: 'login' }, { max_age: '0' }]) {
    const { url, checks } = await begin(trusted, parameters);
    const page = await person.open(url);
    assert.equal(at(page), '/sign-in', JSON.stringify(parameters));
    const { away } = await person.submit(page, { username: vs.username, password: vs.password });
    const tokens = await client.authorizationCodeGrant(trusted, away, checks);
    assert.ok(tokens.claims().auth_time > first.auth_time, JSON.stringify(parameters));
  }
  const { url, checks } = await begin(trusted, { max_age: '600' });
  const tokens = await client.authorizationCodeGrant(trusted, (await person.open(url)).away, { ...checks, maxAge: 600 });
  assert.ok(tokens.claims().auth_time > first.auth_time);
});

test('cl12 A09 form_post: the answer comes in a form, and a fragment is refused', bounded, async () => {
  const { trusted } = configs;
  const person = newcomer();
  await signedIn(trusted, person);
  const { url, checks } = await begin(trusted, { response_mode: 'form_post' });
  const page = await person.open(url);
  assert.equal(page.forms[0].action, CALLBACK);
  const answer = page.forms[0].hidden;
  assert.deepEqual([answer.iss, answer.state], [vs.issuer, checks.expectedState]);
  const posted = new Request(CALLBACK, { method: 'POST', body: new URLSearchParams(answer) });
  assert.ok((await client.authorizationCodeGrant(trusted, posted, checks)).claims().sub);
  const refused = await person.open((await begin(trusted, { response_mode: 'fragment' })).url);
  assert.ok(refused.status === 400 || refused.away.searchParams.get('error') === 'invalid_request');
});

test('D05 initiateDeviceAuthorization and pollDeviceAuthorizationGrant', { timeout: 45_000 }, async () => {
  const { web } = configs;
  const device = await client.initiateDeviceAuthorization(web, { scope: 'openid offline_access demo:read' });
  assert.ok(device.verification_uri.startsWith(`${vs.issuer}/`));
  assert.ok(device.verification_uri_complete.includes(encodeURIComponent(device.user_code)) || device.verification_uri_complete.includes(device.user_code));
  const person = newcomer();
  const proceed = async (page) => (at(page) === '/sign-in' ? person.submit(page, { username: vs.username, password: vs.password }) : page);
  let page = await proceed(await person.open(device.verification_uri));
  page = await proceed(await person.submit(page, { user_code: device.user_code.toLowerCase().replaceAll('-', '') }));
  assert.equal(at(page), '/device/confirm');
  assert.ok(page.text.includes('Client web'), page.text);
  page = await person.submit(page, { decision: 'allow' });
  assert.equal(page.url, `${vs.issuer}/device/done?outcome=allowed`);
  const tokens = await client.pollDeviceAuthorizationGrant(web, device, undefined, { signal: AbortSignal.timeout(25_000) });
  assert.equal(tokens.claims().aud, 'web');
  assert.equal(tokens.claims().at_hash, half(tokens.access_token));
  assert.ok(tokens.refresh_token);
});

test('L12 buildEndSessionUrl: asked, signed out, and back with the state; what the session gave is dead', bounded, async () => {
  const { web } = configs;
  const person = newcomer();
  const tokens = await signedIn(web, person);
  const leaving = { id_token_hint: tokens.id_token, post_logout_redirect_uri: BYE, state: 'see-you' };

  const elsewhere = await person.open(client.buildEndSessionUrl(web, { ...leaving, post_logout_redirect_uri: 'https://evil.example/' }));
  assert.equal(elsewhere.away, undefined);
  const asked = await person.open(client.buildEndSessionUrl(web, leaving));
  const stayed = await person.submit(asked, { decision: 'stay' });
  assert.ok(!stayed.away || stayed.away.origin === new URL(BYE).origin);
  assert.ok((await person.open((await begin(web, { prompt: 'none' })).url)).away.searchParams.get('code'), 'staying changes nothing');

  const page = await person.open(client.buildEndSessionUrl(web, leaving));
  const { away } = await person.submit(page, { decision: 'sign_out' });
  assert.equal(away?.href, `${BYE}?state=see-you`);
  assert.equal((await person.open((await begin(web, { prompt: 'none' })).url)).away.searchParams.get('error'), 'login_required');
  assert.equal((await refusal(client.refreshTokenGrant(web, tokens.refresh_token))).error, 'invalid_grant');
  assert.deepEqual(await client.tokenIntrospection(web, tokens.access_token), { active: false });
});

test('cl23 user info by GET and POST, and a challenge without a good token', bounded, async () => {
  const { web } = configs;
  const tokens = await signedIn(web, newcomer(), { scope: 'openid email' });
  const authorization = `Bearer ${tokens.access_token}`;
  for (const response of [
    await get(metadata.userinfo_endpoint, { authorization }),
    await post(metadata.userinfo_endpoint, {}, { authorization }),
  ]) {
    assert.equal(response.status, 200);
    assert.equal((await response.json()).sub, tokens.claims().sub);
  }
  for (const headers of [{}, { authorization: 'Bearer garbage' }]) {
    const response = await get(metadata.userinfo_endpoint, headers);
    assert.equal(response.status, 401);
    assert.match(response.headers.get('www-authenticate') ?? 'none', /^Bearer\b/);
  }
});

test('cl13 H19 any origin may call what a page of an app calls, and no page of ours', bounded, async () => {
  const preflight = (url) => fetch(url, {
    method: 'OPTIONS',
    headers: { origin: ORIGIN, 'access-control-request-method': 'POST', 'access-control-request-headers': 'authorization,content-type' },
    signal: limit(),
  });
  for (const url of [
    metadata.token_endpoint, `${vs.issuer}/refresh`, metadata.userinfo_endpoint, metadata.revocation_endpoint, metadata.registration_endpoint,
    metadata.pushed_authorization_request_endpoint, metadata.device_authorization_endpoint,
  ]) {
    const [allowed, refused] = [await preflight(url), await post(url, { nothing: 'at all' }, { origin: ORIGIN })];
    for (const response of [allowed, refused]) {
      assert.equal(response.headers.get('access-control-allow-origin'), '*', `${url} ${response.status}`);
      assert.equal(response.headers.get('access-control-allow-credentials'), null);
    }
    assert.ok(allowed.ok, `${url} ${allowed.status}`);
    assert.match(allowed.headers.get('access-control-allow-headers') ?? 'none', /authorization|\*/i);
    assert.match(refused.headers.get('access-control-expose-headers') ?? 'none', /WWW-Authenticate/i);
  }
  for (const url of [metadata.jwks_uri, `${vs.issuer}/.well-known/openid-configuration`]) {
    assert.equal((await get(url, { origin: ORIGIN })).headers.get('access-control-allow-origin'), '*', url);
  }
  for (const path of ['/authorize', '/sign-in', '/consent', '/account', '/device', '/logout']) {
    for (const response of [await preflight(vs.issuer + path), await get(vs.issuer + path, { origin: ORIGIN })]) {
      assert.equal(response.headers.get('access-control-allow-origin'), null, path);
    }
  }
});

test('cl18 A25 dynamicClientRegistration without a scope, and the whole way with what it made', bounded, async () => {
  const config = await client.dynamicClientRegistration(new URL(vs.issuer), {
    client_name: 'Registered by itself',
    redirect_uris: ['https://dynamic.example/cb'],
    grant_types: ['authorization_code', 'refresh_token'],
    response_types: ['code'],
    application_type: 'web',
    software_id: 'unknown-to-most',
  }, client.ClientSecretBasic(), { execute: [client.allowInsecureRequests] });
  const { client_id, client_secret } = config.clientMetadata();
  assert.ok(client_id && client_secret);
  client.allowInsecureRequests(config);
  const person = newcomer();
  await signedIn(configs.web, person);
  const { url, checks } = await begin(config, {
    redirect_uri: 'https://dynamic.example/cb', scope: 'openid offline_access demo:read', resource: vs.resource,
  });
  const page = await person.open(url);
  assert.equal(at(page), '/consent', 'nobody vetted it, so it is asked for');
  assert.ok(page.text.includes('Registered by itself') && page.text.includes('dynamic.example'), page.text);
  const { away } = await person.submit(page, { decision: 'allow' });
  const tokens = await client.authorizationCodeGrant(config, away, checks);
  assert.equal(peek(tokens.access_token).claims.aud, vs.resource);
  assert.ok((await client.refreshTokenGrant(config, tokens.refresh_token)).access_token);
});

test('cl18 registration: 201, kept by nobody, and read, changed and deleted with its token', bounded, async () => {
  const send = (method, url, body, headers) => fetch(url, {
    method, headers: { ...headers, ...(body && { 'content-type': 'application/json' }) }, body: body && JSON.stringify(body), signal: limit(),
  });
  const wanted = { redirect_uris: ['https://managed.example/cb'], token_endpoint_auth_method: 'none', unheard_of: true };
  const response = await send('POST', metadata.registration_endpoint, wanted);
  assert.equal(response.status, 201);
  assert.match(response.headers.get('cache-control'), /\bno-store\b/);
  const made = await response.json();
  assert.equal(made.client_secret, undefined);
  assert.deepEqual(made.redirect_uris, wanted.redirect_uris);
  const own = { authorization: `Bearer ${made.registration_access_token}` };
  const uri = made.registration_client_uri;
  assert.equal((await send('GET', uri, undefined, { authorization: 'Bearer wrong' })).status, 401);
  assert.equal((await send('GET', uri, undefined, own)).status, 200);
  const changed = await send('PUT', uri, { ...wanted, client_id: made.client_id, client_name: 'Managed' }, own);
  assert.equal(changed.status, 200);
  assert.equal((await changed.json()).client_name, 'Managed');
  assert.equal((await send('DELETE', uri, undefined, own)).status, 204);
  const bad = await send('POST', metadata.registration_endpoint, { redirect_uris: ['javascript:alert(1)'] });
  assert.deepEqual([bad.status, (await bad.json()).error], [400, 'invalid_redirect_uri']);
});

test('H20 L07 L08 L09 pages, their headers, their cookie, and a form without its ticket', bounded, async () => {
  const person = newcomer();
  const { url } = await begin(configs.trusted);
  const page = await person.open(url);
  assert.equal(at(page), '/sign-in');
  const policy = page.headers.get('content-security-policy');
  for (const part of ["default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'"]) assert.ok(policy?.includes(part), policy);
  assert.ok(!/unsafe|form-action/.test(policy), policy);
  assert.equal(page.headers.get('x-frame-options')?.toUpperCase(), 'DENY');
  assert.equal(page.headers.get('referrer-policy'), 'same-origin');
  assert.match(page.headers.get('cache-control') ?? 'none', /\bno-store\b/);

  const stranger = person.cookies.get('vouchsafe');
  const credentials = { username: vs.username, password: vs.password };
  await person.submit(page, { ...credentials, ticket: 'forged' });
  const still = await person.open(url);
  assert.equal(at(still), '/sign-in', 'a form without its ticket signs nobody in');
  const { away } = await person.submit(still, credentials);
  assert.ok(away);
  assert.notEqual(person.cookies.get('vouchsafe'), stranger, 'the cookie of before is dead');
  for (const line of person.set) {
    assert.match(line, /^vouchsafe=/);
    for (const attribute of [/;\s*HttpOnly/i, /;\s*SameSite=Lax/i, /;\s*Path=\/(;|$)/i]) assert.match(line, attribute);
    assert.doesNotMatch(line, /;\s*(Secure|Domain)/i);
  }
  const thief = newcomer();
  if (stranger) thief.cookies.set('vouchsafe', stranger);
  assert.equal(at(await thief.open(url)), '/sign-in');
});

test('the demo client signs a person in with nothing set up', bounded, async () => {
  const demo = await configure(vs.client_id, vs.client_secret);
  const redirect_uri = 'http://127.0.0.1:8085/callback';
  const tokens = await signedIn(demo, newcomer(), { redirect_uri, scope: `openid ${vs.scope}` });
  assert.ok(tokens.claims().sub);
  const code = await post(metadata.device_authorization_endpoint, { scope: 'openid' }, { authorization: basic(vs) });
  assert.equal(code.status, 200);
});
