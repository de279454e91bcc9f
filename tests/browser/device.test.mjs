// A device without a keyboard asks by openid-client, and a person answers at /device in a browser.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import * as client from 'openid-client';
import { start, words } from '../clients/support.mjs';
import { allow, announced, deny, enrol, inWindow, launch, send, sender, settled, signIn, where } from './support.mjs';

const bounded = { timeout: 60_000 };
const SCOPE = 'openid offline_access demo:read';

let vs;
let browser;
let people;
let television;

before(async () => {
  [vs, browser] = await Promise.all([start(), launch()]);
  people = await enrol(vs, 'ada', 'ben', 'cleo');
  await vs.cli('client', 'create', '--id', 'television', '--name', 'Living Room', '--auth', 'none', '--application-type', 'native',
    '--grant', 'urn:ietf:params:oauth:grant-type:device_code', '--grant', 'refresh_token', '--scope', SCOPE, '--resource', vs.resource);
  await settled();
  television = await client.discovery(new URL(vs.issuer), 'television', undefined, client.None(), {
    timeout: 5, execute: [client.allowInsecureRequests],
  });
  client.enableNonRepudiationChecks(television);
}, { timeout: 60_000 });
after(async () => {
  await browser?.close();
  await vs?.stop();
}, { timeout: 30_000 });

/** What the device shows, and its waiting for an answer. */
async function ask() {
  const shown = await client.initiateDeviceAuthorization(television, { scope: SCOPE });
  const polling = new AbortController();
  const answer = client.pollDeviceAuthorizationGrant(television, shown, undefined, {
    signal: AbortSignal.any([polling.signal, AbortSignal.timeout(40_000)]),
  });
  // A test that fails before it looks must not be followed by an error nobody takes.
  answer.catch(() => {});
  return { shown, answer, giveUp: () => polling.abort() };
}

/** Signs in if that is what the page asks for. */
const proceed = async (page, person) => {
  if (where(page) === '/sign-in') await signIn(page, person);
};

for (const [title, options, name] of [['with scripts', {}, 'ada'], ['without', { javaScriptEnabled: false }, 'ben']]) {
  test(`D05 ${title}: the code is typed, the page says who asks for what, and the device gets its tokens`, bounded, async () => {
    const person = people[name];
    const { shown, answer, giveUp } = await ask();
    try {
      await inWindow(browser, options, async (page) => {
        await page.goto(shown.verification_uri);
        await proceed(page, person);
        assert.equal(where(page), '/device');
        await send(page, { user_code: 'BBBB-BBBB' });
        await proceed(page, person);
        await announced(page);
        await send(page, { user_code: shown.user_code.toLowerCase().replaceAll('-', '') });
        await proceed(page, person);
        assert.equal(where(page), '/device/confirm');
        const text = await page.locator('main').innerText();
        for (const part of ['Living Room', person.username, 'demo:read']) assert.ok(text.includes(part), `${part} in ${text}`);
        await allow(page);
        assert.equal(where(page), '/device/done');
        assert.equal(new URL(page.url()).searchParams.get('outcome'), 'allowed');
      });
      const tokens = await answer;
      assert.deepEqual(words(tokens.scope), words(SCOPE));
      const user = await client.fetchUserInfo(television, tokens.access_token, tokens.claims().sub);
      assert.equal(user.sub, tokens.claims().sub);
      assert.ok((await client.refreshTokenGrant(television, tokens.refresh_token)).access_token);
    } finally {
      giveUp();
    }
  });
}

test('D05 the complete address fills the code in and confirms nothing; No is heard by the device', bounded, async () => {
  const { shown, answer, giveUp } = await ask();
  try {
    await inWindow(browser, {}, async (page) => {
      await page.goto(shown.verification_uri_complete);
      await proceed(page, people.cleo);
      if (where(page) === '/device') {
        assert.equal(await page.locator('[name="user_code"]').inputValue(), shown.user_code);
        await sender(page, 'user_code').click();
        await page.waitForURL((url) => url.pathname !== '/device');
        await proceed(page, people.cleo);
      }
      assert.equal(where(page), '/device/confirm');
      assert.ok((await page.locator('main').innerText()).includes(shown.user_code));
      await deny(page);
      assert.equal(new URL(page.url()).searchParams.get('outcome'), 'denied');
      await page.goto(shown.verification_uri_complete);
      if (where(page) === '/device') await send(page, { user_code: shown.user_code });
      await announced(page);
    });
    await assert.rejects(answer, { error: 'access_denied' });
  } finally {
    giveUp();
  }
});
