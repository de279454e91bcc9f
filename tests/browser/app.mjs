// A web application with openid-client: signs people in, shows what came back, and signs them out.

import http from 'node:http';
import * as client from 'openid-client';

const escaped = (text) => text.replace(/[&<>"]/g, (letter) => `&#${letter.codePointAt(0)};`);
const html = (title, outcome) => `<!doctype html><html lang="en"><title>${title}</title><main><h1>${title}</h1>
<pre id="outcome">${escaped(JSON.stringify(outcome))}</pre></main></html>`;

/**
 * Makes a client by the command line and serves its application on loopback, under `host`: `open(page, parameters)`
 * starts a sign-in with these parameters of the authorization request, `outcome(page)` is what the application got.
 */
export async function startApp(vs, { id, name, scope, host = '127.0.0.1', flags = [] }) {
  const server = http.createServer((incoming, response) => {
    answer(incoming, response).catch((error) => response.writeHead(500).end(String(error)));
  });
  await new Promise((done, failed) => server.once('error', failed).listen(0, '127.0.0.1', done));
  const origin = `http://${host}:${server.address().port}`;
  const callback = `${origin}/callback`;
  const { client_secret } = await vs.cli('client', 'create', '--id', id, '--name', name, '--auth', 'client_secret_basic',
    '--grant', 'authorization_code', '--grant', 'refresh_token', '--redirect-uri', callback,
    '--post-logout-redirect-uri', `${origin}/goodbye`, '--scope', scope, '--resource', vs.resource, ...flags);
  const config = await client.discovery(new URL(vs.issuer), id, undefined, client.ClientSecretBasic(client_secret), {
    timeout: 5, execute: [client.allowInsecureRequests],
  });
  client.enableNonRepudiationChecks(config);
  /** What each request was made with, by its state. */
  const asked = new Map();

  async function begin(parameters) {
    const checks = {
      pkceCodeVerifier: client.randomPKCECodeVerifier(), expectedState: client.randomState(), expectedNonce: client.randomNonce(),
    };
    if (parameters.max_age !== undefined) checks.maxAge = Number(parameters.max_age);
    asked.set(checks.expectedState, checks);
    return client.buildAuthorizationUrl(config, {
      redirect_uri: callback,
      scope,
      state: checks.expectedState,
      nonce: checks.expectedNonce,
      code_challenge: await client.calculatePKCECodeChallenge(checks.pkceCodeVerifier),
      code_challenge_method: 'S256',
      ...parameters,
    });
  }

  async function complete(incoming, url) {
    const body = incoming.method === 'POST' ? Buffer.concat(await incoming.toArray()).toString() : undefined;
    const parameters = Object.fromEntries(body === undefined ? url.searchParams : new URLSearchParams(body));
    const current = body === undefined ? url : new Request(url, {
      method: 'POST', headers: { 'content-type': incoming.headers['content-type'] }, body,
    });
    const common = { method: incoming.method, parameters };
    try {
      const tokens = await client.authorizationCodeGrant(config, current, asked.get(parameters.state));
      const claims = tokens.claims();
      const user = await client.fetchUserInfo(config, tokens.access_token, claims.sub);
      return { ...common, tokens, claims, user };
    } catch (error) {
      return { ...common, error: error.error ?? error.code ?? error.message, message: error.message };
    }
  }

  async function answer(incoming, response) {
    const url = new URL(incoming.url, origin);
    const show = (title, outcome) => response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' }).end(html(title, outcome));
    const away = (location) => response.writeHead(303, { location }).end();
    switch (url.pathname) {
      case '/start': return away((await begin(Object.fromEntries(url.searchParams))).href);
      case '/start-by-form': return response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' }).end(await asForm(begin));
      case '/callback': return show('Callback', await complete(incoming, url));
      case '/goodbye': return show('Goodbye', Object.fromEntries(url.searchParams));
      default: return response.writeHead(204).end();
    }
  }

  const outcome = async (page) => {
    await page.waitForURL((url) => url.origin === origin && url.pathname !== '/start');
    return JSON.parse(await page.locator('#outcome').textContent());
  };
  return {
    origin,
    config,
    open: (page, parameters = {}) => page.goto(`${origin}/start?${new URLSearchParams(parameters)}`),
    openByForm: (page) => page.goto(`${origin}/start-by-form`),
    outcome,
    /** The same, where it must be a sign-in. */
    granted: async (page) => {
      const came = await outcome(page);
      if (came.error) throw new Error(`${came.error}: ${came.message}`);
      return came;
    },
    /** The address of an authorization request, or of a request to sign out. */
    address: begin,
    leave: (page, { tokens, state }) => page.goto(client.buildEndSessionUrl(config, {
      ...(tokens && { id_token_hint: tokens.id_token }), post_logout_redirect_uri: `${origin}/goodbye`, ...(state && { state }),
    }).href),
    refresh: (tokens) => client.refreshTokenGrant(config, tokens.refresh_token),
    stop: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}

/** A page of the application that posts the authorization request. */
async function asForm(begin) {
  const url = await begin({});
  const fields = [...url.searchParams].map(([name, value]) => `<input type="hidden" name="${escaped(name)}" value="${escaped(value)}">`);
  return `<!doctype html><html lang="en"><title>Start</title><main><h1>Start</h1>
<form method="post" action="${escaped(url.origin + url.pathname)}">${fields.join('')}<button>Sign in</button></form></main></html>`;
}
