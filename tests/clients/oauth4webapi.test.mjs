// oauth4webapi, unmodified: what it sends, and what it demands of each answer.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import * as oauth from 'oauth4webapi';
import { apiScope, basic, limit, peek, place, post, refusal, start, words } from './support.mjs';

const options = { [oauth.allowInsecureRequests]: true, signal: limit };
const bounded = { timeout: 20_000 };

let vs;
let as;
let demo;
let scope;
/** Clients beside the demo one, as promises. */
let made;

const NARROW = 'https://narrow.example/';
const IMPORTED = 'a-b._~c-d._~e-f._~g-h._~i-j._~k-l._~m-n._~';

before(async () => {
  vs = await start();
  as = await discover('oauth2');
  demo = confidential(vs);
  scope = apiScope(vs);
  const own = { auth: 'client_secret_basic', grants: ['client_credentials'], scope, resource: vs.resource };
  made = {
    poster: vs.createClient({ ...own, id: 'poster', auth: 'client_secret_post' }),
    app: vs.createClient({ ...own, id: 'public-app', auth: 'none', grants: ['password', 'refresh_token'] }),
    odd: vs.createClient({ ...own, id: 'odd-id._~1' }),
    imported: vs.createClient({ ...own, id: 'imported', secret: IMPORTED }),
    resource: vs.createResource(NARROW, ['items:read', 'items:write']),
    narrow: vs.createClient({
      ...own, id: 'narrow', grants: ['password', 'refresh_token'], scope: 'items:read items:write', resource: NARROW,
    }),
  };
}, { timeout: 30_000 });
after(() => vs?.stop(), { timeout: 15_000 });

async function discover(algorithm) {
  const issuer = new URL(vs.issuer);
  return oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, { ...options, algorithm }));
}

const confidential = ({ client_id, client_secret }, method = oauth.ClientSecretBasic) =>
  ({ client: { client_id }, auth: method(client_secret) });

async function clientCredentials({ client, auth }, parameters) {
  return oauth.processClientCredentialsResponse(as, client,
    await oauth.clientCredentialsGrantRequest(as, client, auth, parameters, options));
}

async function password({ client, auth }, parameters) {
  return oauth.processGenericTokenEndpointResponse(as, client, await oauth.genericTokenEndpointRequest(
    as, client, auth, 'password', { username: vs.username, password: vs.password, ...parameters }, options));
}

async function refresh({ client, auth }, token, additionalParameters) {
  return oauth.processRefreshTokenResponse(as, client,
    await oauth.refreshTokenGrantRequest(as, client, auth, token, { ...options, additionalParameters }));
}

async function introspect({ client, auth }, token, additionalParameters) {
  return oauth.processIntrospectionResponse(as, client,
    await oauth.introspectionRequest(as, client, auth, token, { ...options, additionalParameters }));
}

async function revoke({ client, auth }, token, additionalParameters) {
  return oauth.processRevocationResponse(
    await oauth.revocationRequest(as, client, auth, token, { ...options, additionalParameters }));
}

function validate(token, audience) {
  const request = new Request('https://api.invalid/', { headers: { authorization: `Bearer ${token}` } });
  return oauth.validateJwtAccessToken(as, request, audience, options);
}

const publicClient = async () => ({ client: { client_id: (await made.app).client_id }, auth: oauth.None() });

test('cl1 cl2 discovery by both algorithms: the same document, the issuer to the letter', bounded, async () => {
  const oidc = await discover('oidc');
  assert.deepEqual(oidc, as);
  assert.equal(as.issuer, vs.issuer);
  for (const endpoint of ['token_endpoint', 'introspection_endpoint', 'revocation_endpoint', 'jwks_uri']) {
    assert.equal(new URL(as[endpoint]).origin, new URL(vs.issuer).origin, endpoint);
  }
});

test('client_credentials with client_secret_basic', bounded, async () => {
  const tokens = await clientCredentials(demo, { scope, resource: vs.resource });
  assert.equal(tokens.token_type, 'bearer');
  assert.ok(tokens.expires_in > 0);
  assert.deepEqual(words(tokens.scope), words(scope), 'cl10: every granted scope is repeated');
  assert.equal(tokens.refresh_token, undefined, 'T60: never a refresh token');
});

test('client_credentials with client_secret_post', bounded, async () => {
  const poster = confidential(await made.poster, oauth.ClientSecretPost);
  const tokens = await clientCredentials(poster, { scope, resource: vs.resource });
  assert.deepEqual(words(tokens.scope), words(scope));
});

test('cl3 a client id with -._~, percent-encoded by the library and raw', bounded, async () => {
  const odd = await made.odd;
  assert.equal(odd.client_id, 'odd-id._~1');
  assert.match(odd.client_secret, /^[A-Za-z0-9._~-]{32,}$/, 'a secret needs no encoding by those who do none');
  await bothWays(odd);
});

test('cl3 an imported secret with -._~, percent-encoded by the library and raw', bounded, async () => {
  await bothWays(await made.imported);
});

async function bothWays(credentials) {
  const { claims } = peek((await clientCredentials(confidential(credentials), { scope, resource: vs.resource })).access_token);
  assert.equal(claims.client_id, credentials.client_id);
  const raw = await post(as.token_endpoint, { grant_type: 'client_credentials', scope, resource: vs.resource }, { authorization: basic(credentials) });
  assert.equal(raw.status, 200, await raw.text());
}

test('cl9 cl19 T40 refresh: a new pair, the same audience, scope and family', bounded, async () => {
  const first = await password(demo, { scope, resource: vs.resource });
  assert.ok(first.refresh_token, 'a refresh token without offline_access');
  assert.ok(first.refresh_token_expires_in > 0);
  const second = await refresh(demo, first.refresh_token, { resource: vs.resource });
  assert.notEqual(second.refresh_token, first.refresh_token);
  assert.notEqual(second.access_token, first.access_token);
  assert.deepEqual(words(second.scope), words(scope));
  const [was, is] = [first, second].map((tokens) => peek(tokens.access_token).claims);
  assert.equal(is.aud, vs.resource);
  assert.equal(is.sub, was.sub);
  assert.equal(is.sid, was.sid);
  assert.match(is.sub, /^usr_/);
});

test('T41 the same refresh token again, one after the other and at once: the same successor', bounded, async () => {
  const first = await password(demo, { scope, resource: vs.resource });
  const second = await refresh(demo, first.refresh_token);
  const again = await refresh(demo, first.refresh_token);
  const together = await Promise.all(Array.from({ length: 8 }, () => refresh(demo, first.refresh_token)));
  for (const answer of [again, ...together]) {
    assert.deepEqual(place(answer.refresh_token), place(second.refresh_token));
    assert.ok(answer.access_token);
  }
  assert.notDeepEqual(place(second.refresh_token), place(first.refresh_token));
});

test('an older refresh token inside the window is superseded; the family lives', bounded, async () => {
  const first = await password(demo, { scope, resource: vs.resource });
  const second = await refresh(demo, first.refresh_token);
  const third = await refresh(demo, second.refresh_token);
  const { status, error, reason } = await refusal(refresh(demo, first.refresh_token));
  assert.deepEqual({ status, error, reason }, { status: 400, error: 'invalid_grant', reason: 'superseded' });
  await refresh(demo, third.refresh_token);
});

test('T45 a narrower refresh narrows the access token, not the grant', bounded, async () => {
  await made.resource;
  const client = confidential(await made.narrow);
  const first = await password(client, { resource: NARROW });
  assert.deepEqual(words(first.scope), ['items:read', 'items:write'], 'without scope: what the client holds there');
  const second = await refresh(client, first.refresh_token, { scope: 'items:read' });
  assert.deepEqual(words(second.scope), ['items:read']);
  assert.equal((await validate(second.access_token, NARROW)).scope, 'items:read');
  const third = await refresh(client, second.refresh_token);
  assert.deepEqual(words(third.scope), ['items:read', 'items:write']);
  assert.equal((await refusal(refresh(client, third.refresh_token, { scope: 'items:read unheard-of' }))).error, 'invalid_scope');
  assert.equal((await refusal(refresh(client, third.refresh_token, { resource: vs.resource }))).error, 'invalid_target');
  await refresh(client, third.refresh_token);
});

test('the scope of the demo line is granted whole', bounded, async () => {
  const tokens = await password(demo, { scope: vs.scope, resource: vs.resource });
  assert.deepEqual(words(tokens.scope), words(vs.scope));
});

test('introspection of an access token and of a refresh token', bounded, async () => {
  const tokens = await password(demo, { scope, resource: vs.resource });
  const access = await introspect(demo, tokens.access_token);
  assert.equal(access.active, true);
  const { claims } = peek(tokens.access_token);
  for (const claim of ['iss', 'sub', 'aud', 'client_id', 'exp', 'iat', 'jti']) assert.deepEqual(access[claim], claims[claim], claim);
  assert.deepEqual(words(access.scope), words(scope));

  const held = await introspect(demo, tokens.refresh_token, { token_type_hint: 'refresh_token' });
  assert.equal(held.active, true);
  assert.equal(held.client_id, vs.client_id);
  assert.ok(held.exp > access.exp);
});

test('cl25 a wrong hint does not hide a token', bounded, async () => {
  const tokens = await password(demo, { scope, resource: vs.resource });
  assert.equal((await introspect(demo, tokens.access_token, { token_type_hint: 'refresh_token' })).active, true);
  assert.equal((await introspect(demo, tokens.refresh_token, { token_type_hint: 'access_token' })).active, true);
});

test('R04 a revoked access token is inactive at once, and nothing else is told', bounded, async () => {
  const tokens = await password(demo, { scope, resource: vs.resource });
  await revoke(demo, tokens.access_token);
  assert.deepEqual(await introspect(demo, tokens.access_token), { active: false });
  assert.equal((await introspect(demo, tokens.refresh_token)).active, true, 'an access token ends itself, not its family');
});

test('R03 a revoked refresh token takes its family and their access tokens along', bounded, async () => {
  const first = await password(demo, { scope, resource: vs.resource });
  const second = await refresh(demo, first.refresh_token);
  await revoke(demo, second.refresh_token, { token_type_hint: 'access_token' });
  for (const token of [first.access_token, second.access_token, second.refresh_token]) {
    assert.deepEqual(await introspect(demo, token), { active: false });
  }
  const { status, error, reason } = await refusal(refresh(demo, second.refresh_token));
  assert.deepEqual({ status, error, reason }, { status: 400, error: 'invalid_grant', reason: 'revoked' });
  await revoke(demo, second.refresh_token);
});

test('cl7 access tokens are RFC 9068 for the asked audience', bounded, async () => {
  const own = await clientCredentials(demo, { scope, resource: vs.resource });
  const ownClaims = await validate(own.access_token, vs.resource);
  assert.equal(ownClaims.aud, vs.resource, 'one audience is one string');
  assert.equal(ownClaims.client_id, vs.client_id);
  assert.equal(ownClaims.sub, vs.client_id);
  assert.deepEqual(words(ownClaims.scope), words(scope));
  assert.ok(peek(own.access_token).header.kid, 'cl5');

  const persons = await password(demo, { scope, resource: vs.resource });
  assert.match((await validate(persons.access_token, vs.resource)).sub, /^usr_/);

  await assert.rejects(validate(own.access_token, 'https://other.example/'), { code: oauth.JWT_CLAIM_COMPARISON });
  await assert.rejects(validate(persons.refresh_token, vs.resource), 'a refresh token is no access token');
});

test('cl21 T01 a wrong secret: invalid_client with a Basic challenge; an unknown client the same', bounded, async () => {
  const wrong = { client_id: vs.client_id, client_secret: 'wrong-wrong-wrong-wrong-wrong-wrong-wrong' };
  for (const credentials of [wrong, { ...wrong, client_id: 'nobody' }]) {
    const { status, error, schemes, headers } = await refusal(clientCredentials(confidential(credentials), { scope }));
    assert.deepEqual({ status, error, schemes }, { status: 401, error: 'invalid_client', schemes: ['basic'] });
    assert.match(headers.get('cache-control'), /no-store/);
  }
  assert.equal((await refusal(introspect(confidential(wrong), 'any'))).error, 'invalid_client');
  assert.equal((await refusal(revoke(confidential(wrong), 'any'))).error, 'invalid_client');
});

test('T05 the method must be the registered one', bounded, async () => {
  const { status, error } = await refusal(clientCredentials(confidential(vs, oauth.ClientSecretPost), { scope }));
  assert.deepEqual({ status, error }, { status: 401, error: 'invalid_client' });
});

test('an unknown scope is invalid_scope', bounded, async () => {
  const { status, error } = await refusal(clientCredentials(demo, { scope: 'unheard-of', resource: vs.resource }));
  assert.deepEqual({ status, error }, { status: 400, error: 'invalid_scope' });
});

test('T60 client_credentials never gets openid or offline_access', bounded, async () => {
  for (const asked of ['openid', 'offline_access']) {
    assert.equal((await refusal(clientCredentials(demo, { scope: asked }))).error, 'invalid_scope');
  }
});

test('cl8 an unknown resource is invalid_target, and so is one that differs by a character', bounded, async () => {
  for (const resource of ['https://unknown.example/', `${vs.resource}x`]) {
    const { status, error } = await refusal(clientCredentials(demo, { scope, resource }));
    assert.deepEqual({ status, error }, { status: 400, error: 'invalid_target' });
  }
});

test('cl9 a public client refreshes by its id alone: rotated, and kind to a retry', bounded, async () => {
  const app = await publicClient();
  const first = await password(app, { scope, resource: vs.resource });
  const second = await refresh(app, first.refresh_token);
  const again = await refresh(app, first.refresh_token);
  assert.notDeepEqual(place(second.refresh_token), place(first.refresh_token));
  assert.deepEqual(place(again.refresh_token), place(second.refresh_token));
  assert.equal((await validate(second.access_token, vs.resource)).client_id, app.client.client_id);
});

test('T05 I01 R07 a public client may revoke its own, not introspect, and has no secret', bounded, async () => {
  const app = await publicClient();
  const first = await password(app, { scope, resource: vs.resource });
  const asked = await refusal(introspect(app, first.access_token));
  assert.deepEqual([asked.status, asked.error], [401, 'invalid_client']);
  const withSecret = await refusal(refresh(confidential({ ...app.client, client_secret: 'none-was-ever-given' }, oauth.ClientSecretPost), first.refresh_token));
  assert.deepEqual([withSecret.status, withSecret.error], [401, 'invalid_client']);
  await revoke(app, first.refresh_token);
  assert.equal((await refusal(refresh(app, first.refresh_token))).reason, 'revoked');
});

test('T43 a refresh token of another client is refused and stays alive', bounded, async () => {
  const first = await password(demo, { scope, resource: vs.resource });
  const { status, error, reason } = await refusal(refresh(await publicClient(), first.refresh_token));
  assert.deepEqual({ status, error, reason }, { status: 400, error: 'invalid_grant', reason: 'client_mismatch' });
  await refresh(demo, first.refresh_token);
});
