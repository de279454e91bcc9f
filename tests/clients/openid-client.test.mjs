// openid-client v6, unmodified. Without a named method it sends the secret in the body (client_secret_post).

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import * as client from 'openid-client';
import { apiScope, peek, place, refusal, start, words } from './support.mjs';

const bounded = { timeout: 20_000 };

let vs;
let demo;
let scope;
/** Clients beside the demo one, as promises. */
let made;

const NARROW = 'https://narrow.example/';

before(async () => {
  vs = await start();
  scope = apiScope(vs);
  const grants = ['password', 'refresh_token'];
  made = {
    poster: vs.createClient({ id: 'poster', auth: 'client_secret_post', grants: ['client_credentials'], scope, resource: vs.resource }),
    app: vs.createClient({ id: 'public-app', auth: 'none', grants, scope, resource: vs.resource }),
    resource: vs.createResource(NARROW, ['items:read', 'items:write']),
    narrow: vs.createClient({ id: 'narrow', auth: 'client_secret_basic', grants, scope: 'items:read items:write', resource: NARROW }),
  };
  demo = await configure(vs, client.ClientSecretBasic());
}, { timeout: 30_000 });
after(() => vs?.stop(), { timeout: 15_000 });

async function configure({ client_id, client_secret }, method, algorithm = 'oidc') {
  const metadata = client_secret === undefined ? undefined : { client_secret };
  const config = await client.discovery(new URL(vs.issuer), client_id, metadata, method, {
    algorithm, timeout: 5, execute: [client.allowInsecureRequests],
  });
  client.enableNonRepudiationChecks(config);
  return config;
}

const password = (config, parameters) => client.genericGrantRequest(config, 'password', {
  username: vs.username, password: vs.password, scope, resource: vs.resource, ...parameters,
});

test('cl1 cl2 discovery by both algorithms', bounded, async () => {
  const oauth2 = await configure(vs, client.ClientSecretBasic(), 'oauth2');
  const metadata = demo.serverMetadata();
  assert.equal(metadata.issuer, vs.issuer);
  assert.equal(oauth2.serverMetadata().token_endpoint, metadata.token_endpoint);
});

test('clientCredentialsGrant with a resource', bounded, async () => {
  const tokens = await client.clientCredentialsGrant(demo, { scope, resource: vs.resource });
  assert.equal(tokens.token_type, 'bearer');
  assert.ok(tokens.expiresIn() > 0);
  assert.deepEqual(words(tokens.scope), words(scope));
  assert.equal(peek(tokens.access_token).claims.aud, vs.resource);
  assert.equal(tokens.refresh_token, undefined);
});

test('clientCredentialsGrant with the default method of the library', bounded, async () => {
  const poster = await configure(await made.poster);
  const tokens = await client.clientCredentialsGrant(poster, { scope, resource: vs.resource });
  assert.deepEqual(words(tokens.scope), words(scope));
});

test('genericGrantRequest with password', bounded, async () => {
  const tokens = await password(demo);
  assert.ok(tokens.refresh_token);
  assert.deepEqual(words(tokens.scope), words(scope));
  const { status, error } = await refusal(password(demo, { password: 'not the password' }));
  assert.deepEqual({ status, error }, { status: 400, error: 'invalid_grant' });
});

test('the scope of the demo line is granted whole, and an ID token that comes with it holds', bounded, async () => {
  const tokens = await password(demo, { scope: vs.scope });
  assert.deepEqual(words(tokens.scope), words(vs.scope));
  if (tokens.id_token) assert.equal(tokens.claims().sub, peek(tokens.access_token).claims.sub);
});

test('T41 refreshTokenGrant, and the same token again', bounded, async () => {
  const first = await password(demo);
  const second = await client.refreshTokenGrant(demo, first.refresh_token, { resource: vs.resource });
  const again = await client.refreshTokenGrant(demo, first.refresh_token);
  assert.notDeepEqual(place(second.refresh_token), place(first.refresh_token));
  assert.deepEqual(place(again.refresh_token), place(second.refresh_token));
  assert.equal(peek(second.access_token).claims.aud, vs.resource);
});

test('T45 refreshTokenGrant with a narrower scope', bounded, async () => {
  await made.resource;
  const config = await configure(await made.narrow, client.ClientSecretBasic());
  const first = await password(config, { resource: NARROW, scope: 'items:read items:write' });
  const second = await client.refreshTokenGrant(config, first.refresh_token, { scope: 'items:write' });
  assert.deepEqual(words(second.scope), ['items:write']);
  const third = await client.refreshTokenGrant(config, second.refresh_token);
  assert.deepEqual(words(third.scope), ['items:read', 'items:write']);
  assert.equal((await refusal(client.refreshTokenGrant(config, third.refresh_token, { scope: 'unheard-of' }))).error, 'invalid_scope');
});

test('cl9 refreshTokenGrant of a public client', bounded, async () => {
  const app = await configure(await made.app);
  const first = await password(app);
  const second = await client.refreshTokenGrant(app, first.refresh_token);
  assert.notDeepEqual(place(second.refresh_token), place(first.refresh_token));
  await client.tokenRevocation(app, second.refresh_token);
  assert.equal((await refusal(client.refreshTokenGrant(app, second.refresh_token))).reason, 'revoked');
});

test('tokenIntrospection', bounded, async () => {
  const tokens = await password(demo);
  const access = await client.tokenIntrospection(demo, tokens.access_token);
  assert.equal(access.active, true);
  assert.equal(access.client_id, vs.client_id);
  assert.equal(access.aud, vs.resource);
  assert.deepEqual(words(access.scope), words(scope));
  assert.equal((await client.tokenIntrospection(demo, tokens.refresh_token, { token_type_hint: 'refresh_token' })).active, true);
  assert.deepEqual(await client.tokenIntrospection(demo, 'unheard-of'), { active: false });
});

test('R03 tokenRevocation, then introspection', bounded, async () => {
  const tokens = await password(demo);
  assert.equal(await client.tokenRevocation(demo, tokens.access_token, { token_type_hint: 'access_token' }), undefined);
  assert.deepEqual(await client.tokenIntrospection(demo, tokens.access_token), { active: false });
  await client.tokenRevocation(demo, tokens.refresh_token);
  assert.deepEqual(await client.tokenIntrospection(demo, tokens.refresh_token), { active: false });
  const { status, error } = await refusal(client.refreshTokenGrant(demo, tokens.refresh_token));
  assert.deepEqual({ status, error }, { status: 400, error: 'invalid_grant' });
});

test('refusals: invalid_client with a challenge, invalid_scope, invalid_target', bounded, async () => {
  const wrong = await configure({ client_id: vs.client_id, client_secret: 'wrong-wrong-wrong-wrong-wrong-wrong-wrong' }, client.ClientSecretBasic());
  const refused = await refusal(client.clientCredentialsGrant(wrong, { scope }));
  assert.deepEqual([refused.status, refused.error, refused.schemes], [401, 'invalid_client', ['basic']]);
  assert.equal((await refusal(client.clientCredentialsGrant(demo, { scope: 'unheard-of' }))).error, 'invalid_scope');
  assert.equal((await refusal(client.clientCredentialsGrant(demo, { scope, resource: 'https://unknown.example/' }))).error, 'invalid_target');
});
