// A person signs in to a web application in a browser: the whole way, with scripts and without, and each turn of it.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, test } from 'node:test';
import { peek, post, refusal, sleep, start, words } from '../clients/support.mjs';
import { startApp } from './app.mjs';
import { allow, announced, choose, deny, enrol, follow, inWindow, launch, send, settled, signIn, where } from './support.mjs';

const bounded = { timeout: 60_000 };
const SCOPE = 'openid profile email offline_access demo:read';
/** Without offline_access: what ends with the session. */
const SESSION_SCOPE = 'openid demo:read';

let vs;
let browser;
let people;
/** Two applications, and the first under another name of the host, which makes it another site. */
let shop;
let forum;
let abroad;

before(async () => {
  [vs, browser] = await Promise.all([start(), launch()]);
  people = await enrol(vs, 'ada', 'ben', 'cleo', 'dora', 'emil', 'fritz', 'gina', 'hugo', 'ida', 'jona', 'kim', 'lea', 'max', 'nora', 'otto', 'pia');
  shop = await startApp(vs, { id: 'shop', name: 'Corner Shop', scope: SCOPE });
  forum = await startApp(vs, { id: 'forum', name: 'Village Forum', scope: SCOPE });
  abroad = await startApp(vs, { id: 'abroad', name: 'Far Away', scope: SCOPE, host: 'localhost' });
  await settled();
}, { timeout: 90_000 });
after(async () => {
  for (const app of [shop, forum, abroad]) app?.stop();
  await browser?.close();
  await vs?.stop();
}, { timeout: 30_000 });

/** The first sign-in of someone: every page of it. */
async function wholeWay(page, app, person, parameters) {
  await app.open(page, parameters);
  await signIn(page, person);
  assert.equal(where(page), '/consent');
  await allow(page);
  return app.granted(page);
}

const heading = (page) => page.locator('main h1').innerText();

async function mainFlow(page, person) {
  await shop.open(page);
  assert.equal(where(page), '/sign-in');
  assert.ok(new URL(page.url()).searchParams.get('continue').startsWith('/authorize?'));
  assert.equal(await page.locator('main').count(), 1);
  assert.ok(await heading(page));

  await send(page, { username: person.username, password: 'not the password' });
  assert.equal(where(page), '/sign-in');
  await announced(page);
  assert.equal(await page.locator('[name="username"]').inputValue(), person.username);
  assert.equal(await page.locator('[name="password"]').inputValue(), '');
  await send(page, { password: person.password });

  assert.equal(where(page), '/consent');
  const shown = await page.locator('main').innerText();
  for (const part of ['Corner Shop', person.username, 'demo:read']) assert.ok(shown.includes(part), `${part} in ${shown}`);
  await deny(page);
  const denied = await shop.outcome(page);
  assert.equal(denied.error, 'access_denied');
  assert.equal(denied.parameters.iss, vs.issuer);
  assert.ok(denied.parameters.state);
  assert.equal(denied.parameters.code, undefined);

  await shop.open(page);
  assert.equal(where(page), '/consent', 'a refusal is not remembered as consent, and the session is');
  await allow(page);
  const first = await shop.granted(page);
  checkTokens(first, person);

  await shop.open(page);
  const second = await shop.granted(page);
  assert.equal(second.claims.sub, first.claims.sub);
  assert.equal(second.claims.auth_time, first.claims.auth_time);

  await shop.leave(page, { tokens: second.tokens, state: 'see-you' });
  assert.equal(where(page), '/logout');
  await choose(page, 'decision', 'sign_out');
  assert.deepEqual(await shop.outcome(page), { state: 'see-you' });
  await shop.open(page);
  assert.equal(where(page), '/sign-in');
}

function checkTokens({ tokens, claims, user, parameters }, { username }) {
  assert.equal(parameters.iss, vs.issuer);
  assert.deepEqual(words(tokens.scope), words(SCOPE));
  const { header } = peek(tokens.id_token);
  assert.equal(header.alg, 'RS256');
  assert.ok(header.kid);
  assert.equal(claims.at_hash, createHash('sha256').update(tokens.access_token).digest().subarray(0, 16).toString('base64url'));
  assert.ok(Math.abs(claims.auth_time - Date.now() / 1_000) < 60, `auth_time ${claims.auth_time}`);
  assert.ok(claims.nonce && claims.sid);
  assert.equal(peek(tokens.access_token).claims.sid, claims.sid);
  assert.equal(user.sub, claims.sub);
  assert.equal(user.preferred_username, username);
  assert.equal(user.email, `${username}@example.org`);
}

test('from the app to the pages and back: a wrong password, No, Yes, tokens, again without a page, and out', bounded, () =>
  inWindow(browser, {}, (page) => mainFlow(page, people.ada)));

test('the same without scripts', bounded, () =>
  inWindow(browser, { javaScriptEnabled: false }, (page) => mainFlow(page, people.pia)));

test('with the keyboard alone', bounded, () => inWindow(browser, {}, async (page) => {
  const { ben } = people;
  await shop.open(page);
  await page.locator('[name="username"]').focus();
  await page.keyboard.type(ben.username);
  await page.keyboard.press('Tab');
  await page.keyboard.type(ben.password);
  await follow(page, () => page.keyboard.press('Enter'));
  assert.equal(where(page), '/consent');
  for (let step = 0; step < 20; step += 1) {
    await page.keyboard.press('Tab');
    if (await page.evaluate(() => document.activeElement?.value === 'allow')) break;
  }
  await follow(page, () => page.keyboard.press('Space'));
  assert.equal((await shop.granted(page)).user.preferred_username, ben.username);
}));

test('cl24 prompt=login asks again, and auth_time tells', bounded, () => inWindow(browser, {}, async (page) => {
  const first = await wholeWay(page, shop, people.cleo);
  await sleep(1_100);
  await shop.open(page, { prompt: 'login' });
  await signIn(page, people.cleo);
  const second = await shop.granted(page);
  assert.equal(second.claims.sub, first.claims.sub);
  assert.ok(second.claims.auth_time > first.claims.auth_time);
}));

test('cl24 A17 prompt=none shows nothing: login_required, consent_required, and a code where both are there', bounded, () =>
  inWindow(browser, {}, async (page) => {
    await forum.open(page, { prompt: 'none' });
    assert.equal((await forum.outcome(page)).error, 'login_required');
    await wholeWay(page, shop, people.dora);
    await forum.open(page, { prompt: 'none' });
    const refused = await forum.outcome(page);
    assert.equal(refused.error, 'consent_required');
    assert.equal(refused.parameters.iss, vs.issuer);
    await forum.open(page);
    assert.equal(where(page), '/consent');
    await allow(page);
    await forum.granted(page);
    await forum.open(page, { prompt: 'none' });
    assert.ok((await forum.granted(page)).tokens.access_token);
  }));

test('prompt=consent asks although it was given', bounded, () => inWindow(browser, {}, async (page) => {
  await wholeWay(page, shop, people.emil);
  await shop.open(page, { prompt: 'consent' });
  assert.equal(where(page), '/consent');
  await allow(page);
  await shop.granted(page);
}));

test('prompt=select_account: this one, or another', bounded, () => inWindow(browser, {}, async (page) => {
  const { fritz, gina } = people;
  const first = await wholeWay(page, shop, fritz);
  await shop.open(page, { prompt: 'select_account' });
  assert.equal(where(page), '/select-account');
  assert.ok((await page.locator('main').innerText()).includes(fritz.username));
  await choose(page, 'choice', 'current');
  assert.equal((await shop.granted(page)).claims.sub, first.claims.sub);

  await shop.open(page, { prompt: 'select_account' });
  await choose(page, 'choice', 'another');
  await signIn(page, gina);
  assert.equal(where(page), '/consent');
  assert.ok((await page.locator('main').innerText()).includes(gina.username));
  await allow(page);
  assert.equal((await shop.granted(page)).user.preferred_username, gina.username);
}));

test('cl24 A18 max_age lets a fresh sign-in pass and asks after an old one', bounded, () => inWindow(browser, {}, async (page) => {
  const first = await wholeWay(page, shop, people.hugo);
  await shop.open(page, { max_age: '600' });
  assert.equal((await shop.granted(page)).claims.auth_time, first.claims.auth_time);
  await sleep(2_500);
  for (const max_age of ['1', '0']) {
    await shop.open(page, { max_age });
    await signIn(page, people.hugo);
    assert.ok((await shop.granted(page)).claims.auth_time > first.claims.auth_time, `max_age=${max_age}`);
  }
}));

test('response_mode=form_post comes by a POST, by itself', bounded, () => inWindow(browser, {}, async (page) => {
  const { claims, method } = await wholeWay(page, abroad, people.ida, { response_mode: 'form_post' });
  assert.equal(method, 'POST');
  await abroad.open(page, { response_mode: 'form_post' });
  const again = await abroad.granted(page);
  assert.deepEqual([again.method, again.claims.sub], ['POST', claims.sub]);
  await abroad.open(page, { response_mode: 'form_post', prompt: 'consent' });
  await deny(page);
  const denied = await abroad.outcome(page);
  assert.deepEqual([denied.method, denied.error, denied.parameters.iss], ['POST', 'access_denied', vs.issuer]);
}));

test('response_mode=form_post without scripts comes by a button', bounded, () => inWindow(browser, { javaScriptEnabled: false }, async (page) => {
  await abroad.open(page, { response_mode: 'form_post' });
  await signIn(page, people.jona);
  await allow(page);
  assert.ok(page.url().startsWith(vs.issuer));
  await follow(page, () => page.locator('main button').first().click());
  assert.equal((await abroad.granted(page)).method, 'POST');
}));

test('an app of another site starts by a form, and the session is known', bounded, () => inWindow(browser, {}, async (page) => {
  await wholeWay(page, abroad, people.kim);
  await abroad.openByForm(page);
  await follow(page, () => page.locator('button').click());
  assert.equal((await abroad.granted(page)).user.preferred_username, 'kim');
}));

test('signing out: staying changes nothing; out, the session and what it gave are dead', bounded, () => inWindow(browser, {}, async (page) => {
  const { tokens } = await wholeWay(page, shop, people.lea, { scope: SESSION_SCOPE });
  await shop.leave(page, { tokens });
  assert.equal(where(page), '/logout');
  assert.ok((await page.locator('main').innerText()).includes('Corner Shop'));
  await choose(page, 'decision', 'stay');
  await shop.open(page, { prompt: 'none', scope: SESSION_SCOPE });
  await shop.granted(page);

  await shop.leave(page, { tokens, state: 'done' });
  await choose(page, 'decision', 'sign_out');
  assert.deepEqual(await shop.outcome(page), { state: 'done' });
  await shop.open(page, { prompt: 'none', scope: SESSION_SCOPE });
  assert.equal((await shop.outcome(page)).error, 'login_required');
  assert.equal((await refusal(shop.refresh(tokens))).error, 'invalid_grant');
}));

test('L12 a request to sign out that names nobody ends at a page of ours', bounded, () => inWindow(browser, {}, async (page) => {
  await wholeWay(page, shop, people.max);
  await page.goto(`${vs.issuer}/logout`);
  await choose(page, 'decision', 'sign_out');
  assert.equal(where(page), '/signed-out');
  assert.ok(await heading(page));
}));

test('signing up from the way to an app: refused, then made, then in', bounded, () => inWindow(browser, {}, async (page) => {
  const newcomer = { username: 'newcomer', password: 'a long enough secret' };
  await shop.open(page);
  await follow(page, () => page.locator('a[href*="/sign-up"]').click());
  assert.equal(where(page), '/sign-up');
  await page.locator('form').evaluateAll((forms) => forms.forEach((form) => form.setAttribute('novalidate', '')));
  await send(page, { username: newcomer.username, password: 'short' });
  assert.equal(where(page), '/sign-up');
  await announced(page);
  await send(page, { ...newcomer, email: 'newcomer@example.org' });
  assert.equal(where(page), '/sign-in');
  assert.equal(new URL(page.url()).searchParams.get('created'), '1');
  await signIn(page, newcomer);
  await allow(page);
  const { user } = await shop.granted(page);
  assert.deepEqual([user.preferred_username, user.email, user.email_verified ?? false], ['newcomer', 'newcomer@example.org', false]);
}));

test('signing up under a name that is taken looks the same, and changes nobody', bounded, () => inWindow(browser, {}, async (page) => {
  const { max } = people;
  await page.goto(`${vs.issuer}/sign-up?continue=%2Faccount`);
  await send(page, { username: max.username, password: 'somebody elses secret' });
  assert.equal(where(page), '/sign-in');
  assert.equal(new URL(page.url()).searchParams.get('created'), '1');
  await send(page, { username: max.username, password: 'somebody elses secret' });
  await announced(page);
  await signIn(page, max);
  assert.equal(where(page), '/account');
}));

test('the password is changed with the present one, and the old one is dead', bounded, async () => {
  const { nora } = people;
  const changed = { username: nora.username, password: 'an entirely new secret' };
  await inWindow(browser, {}, async (page) => {
    await page.goto(`${vs.issuer}/account/password`);
    await signIn(page, nora);
    if (where(page) !== '/account/password') await page.goto(`${vs.issuer}/account/password`);
    await send(page, { current_password: 'not the password', new_password: changed.password });
    await announced(page);
    await send(page, { current_password: nora.password, new_password: changed.password });
    assert.equal(await page.locator('[role="alert"]').count(), 0);
  });
  await inWindow(browser, {}, async (page) => {
    await page.goto(`${vs.issuer}/account`);
    await signIn(page, nora);
    await announced(page);
    await signIn(page, changed);
    assert.equal(where(page), '/account');
  });
});

test('the account page ends an app, a consent and another browser', { timeout: 90_000 }, () => inWindow(browser, {}, async (page) => {
  const { otto } = people;
  const { tokens } = await wholeWay(page, shop, otto);
  const account = async () => {
    await page.goto(`${vs.issuer}/account`);
    assert.equal(where(page), '/account');
  };
  const ending = (action) => page.locator(`form[action*="/account/${action}"]`);

  await account();
  assert.ok((await page.locator('main').innerText()).includes('Corner Shop'));
  const { sid } = peek(tokens.access_token).claims;
  const app = page.locator('form', { has: page.locator(`[name="sid"][value="${sid}"]`) });
  await follow(page, () => app.locator('button').click());
  assert.equal((await refusal(shop.refresh(tokens))).error, 'invalid_grant');
  await shop.open(page, { prompt: 'none' });
  const more = await shop.granted(page);

  await account();
  const consent = page.locator('form', { has: page.locator('[name="client_id"][value="shop"]') });
  await follow(page, () => consent.locator('button').click());
  assert.equal((await refusal(shop.refresh(more.tokens))).error, 'invalid_grant');
  await shop.open(page, { prompt: 'none' });
  assert.equal((await shop.outcome(page)).error, 'consent_required');

  await inWindow(browser, {}, async (other) => {
    await other.goto(`${vs.issuer}/account`);
    await signIn(other, otto);
    assert.equal(where(other), '/account');
    await account();
    assert.ok(await ending('session').count() >= 1);
    const others = page.locator('form[action*="/account/session"] button');
    const sessions = await others.count();
    // The last one may be the present browser; ending one leaves one of the two signed in.
    await follow(page, () => others.nth(sessions - 1).click());
    await Promise.all([page.goto(`${vs.issuer}/account`), other.goto(`${vs.issuer}/account`)]);
    assert.deepEqual([where(page), where(other)].sort(), ['/account', '/sign-in']);
  });
}));

test('signing out at the account page', bounded, () => inWindow(browser, {}, async (page) => {
  await page.goto(`${vs.issuer}/account`);
  await signIn(page, people.kim);
  await follow(page, () => page.locator('form[action*="/account/sign-out"] button').click());
  await page.goto(`${vs.issuer}/account`);
  assert.equal(where(page), '/sign-in');
}));

test('A22 D04 a page of another site can post none of our forms', bounded, () => inWindow(browser, {}, async (page) => {
  await page.goto(`${vs.issuer}/account`);
  await signIn(page, people.lea);
  const cookie = (await page.context().cookies(vs.issuer)).map(({ name, value }) => `${name}=${value}`).join('; ');
  for (const form of ['/account/sign-out', '/account/session', '/account/app', '/account/consent', '/sign-out', '/device/confirm']) {
    const response = await post(vs.issuer + form, { ticket: 'forged', decision: 'sign_out', user_code: 'BBBB-BBBB' }, { cookie, origin: shop.origin });
    assert.ok([303, 400, 403].includes(response.status), `${form} ${response.status}`);
  }
  await page.goto(`${vs.issuer}/account`);
  assert.equal(where(page), '/account', 'still signed in');
}));

test('H20 no page of another site may frame ours', bounded, async () => {
  const context = await browser.newContext();
  try {
    const page = await context.newPage();
    await page.goto(`${abroad.origin}/goodbye`);
    await page.evaluate((src) => new Promise((done) => {
      const frame = document.createElement('iframe');
      frame.addEventListener('load', done);
      frame.src = src;
      document.body.append(frame);
    }), `${vs.issuer}/signed-out`);
    const texts = await Promise.all(page.frames().slice(1).map((frame) => frame.locator('main').count().catch(() => 0)));
    assert.deepEqual(texts.filter((count) => count > 0), []);
  } finally {
    await context.close();
  }
});
