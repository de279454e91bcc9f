// Every page at the width of a telephone and of a desk, in light and dark, in English and German: looked at by axe, kept
// as a picture, enlarged four times, and walked through by keyboard.

import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import axe from 'axe-core';
import { basic, post, start } from '../clients/support.mjs';
import { startApp } from './app.mjs';
import { allow, announced, choose, enrol, inWindow, launch, send, settled, signIn } from './support.mjs';

const bounded = { timeout: 60_000 };
const WIDTHS = [320, 1280];
const HEIGHT = 900;
const THEMES = ['light', 'dark'];
/** What a finger hits, in height. */
const TARGET_PX = 44;
const SCOPE = 'openid profile email address phone offline_access demo:read';
const LOGO = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64"><rect width="64" height="64" rx="14" fill="#7a1f5c"/><circle cx="32" cy="32" r="15" fill="#fff"/></svg>';

const pictures = path.resolve(process.env.VOUCHSAFE_SCREENSHOTS ?? fileURLToPath(new URL('../../target/screenshots', import.meta.url)));

let vs;
let browser;
let people;
/** What a signed-in browser keeps. */
let member;
/** Applications by client id: plain, with a brand, with colours that are hard to read on, and one that asks nobody. */
const apps = {};
/** The address of a request by a client that registered itself. */
let registered;

before(async () => {
  await mkdir(pictures, { recursive: true });
  [vs, browser] = await Promise.all([start(), launch()]);
  people = await enrol(vs, 'alice', 'bob');
  const make = async (id, name, ...flags) => { apps[id] = await startApp(vs, { id, name, scope: SCOPE, flags }); };
  await make('plain', 'Plain Notes');
  await make('branded', 'Corner Shop', '--brand-color', '#7a1f5c', '--client-uri', 'https://shop.example/', '--logo-uri', 'https://shop.example/logo.svg',
    '--policy-uri', 'https://shop.example/privacy', '--tos-uri', 'https://shop.example/terms');
  await make('yellow', 'Lemonade', '--brand-color', '#ffe600');
  await make('black', 'Midnight', '--brand-color', '#050505');
  await make('trusted', 'Intranet', '--skip-consent');
  const made = await fetch(`${vs.issuer}/register`, {
    method: 'POST', headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ client_name: 'Photo Press', redirect_uris: ['https://photos.example/callback'], client_uri: 'https://photos.example/' }),
  });
  const { client_id } = await made.json();
  registered = await apps.plain.address({ client_id, redirect_uri: 'https://photos.example/callback', scope: 'openid profile offline_access demo:read' });
  await settled();
  await inWindow(browser, {}, async (page, context) => {
    await apps.plain.open(page);
    await signIn(page, people.alice);
    await allow(page);
    await apps.plain.granted(page);
    member = await context.storageState();
  });
}, { timeout: 120_000 });
after(async () => {
  for (const app of Object.values(apps)) app.stop();
  await browser?.close();
  await vs?.stop();
}, { timeout: 30_000 });

const authorize = async (page, id, parameters) => page.goto((await apps[id].address(parameters ?? {})).href);
const continued = async (page) => new URL(page.url()).searchParams.get('continue');

async function deviceCode() {
  const response = await post(`${vs.issuer}/device_authorization`, { scope: 'openid offline_access demo:read' }, { authorization: basic(vs) });
  return (await response.json()).user_code;
}

/** Sends what a browser would refuse to send, so that the server says it. */
async function refused(page, fields) {
  await page.locator('form').evaluateAll((forms) => forms.forEach((form) => form.setAttribute('novalidate', '')));
  await send(page, fields);
  await announced(page);
}

const as = (who) => (reach) => ({ who, reach });
const stranger = as('stranger');
const signedIn = as('member');

/** Every page, and how one gets there. */
const PAGES = {
  'sign-in': stranger((page) => authorize(page, 'plain')),
  'sign-in-branded': stranger((page) => authorize(page, 'branded')),
  'sign-in-yellow': stranger((page) => authorize(page, 'yellow')),
  'sign-in-black': stranger((page) => authorize(page, 'black')),
  'sign-in-refused': stranger(async (page) => {
    await authorize(page, 'plain');
    await refused(page, { username: 'nobody-at-all', password: 'not the password' });
  }),
  'sign-in-created': stranger(async (page) => {
    await authorize(page, 'plain');
    await page.goto(`${vs.issuer}/sign-in?${new URLSearchParams({ continue: await continued(page), created: '1' })}`);
  }),
  'sign-up': stranger(async (page) => {
    await authorize(page, 'plain');
    await page.goto(`${vs.issuer}/sign-up?${new URLSearchParams({ continue: await continued(page) })}`);
  }),
  'sign-up-refused': stranger(async (page) => {
    await page.goto(`${vs.issuer}/sign-up?continue=%2Faccount`);
    await refused(page, { username: 'somebody', password: 'short' });
  }),
  'select-account': signedIn((page) => authorize(page, 'plain', { prompt: 'select_account' })),
  consent: signedIn((page) => authorize(page, 'plain', { prompt: 'consent' })),
  'consent-branded': signedIn((page) => authorize(page, 'branded')),
  'consent-yellow': signedIn((page) => authorize(page, 'yellow')),
  'consent-black': signedIn((page) => authorize(page, 'black')),
  'consent-registered': signedIn((page) => page.goto(registered.href)),
  device: signedIn((page) => page.goto(`${vs.issuer}/device`)),
  'device-refused': signedIn(async (page) => {
    await page.goto(`${vs.issuer}/device`);
    await refused(page, { user_code: 'BBBB-BBBB' });
  }),
  'device-confirm': signedIn(async (page) => page.goto(`${vs.issuer}/device/confirm?user_code=${await deviceCode()}`)),
  'device-allowed': signedIn(async (page) => {
    await page.goto(`${vs.issuer}/device/confirm?user_code=${await deviceCode()}`);
    await choose(page, 'decision', 'allow');
  }),
  'device-denied': signedIn(async (page) => {
    await page.goto(`${vs.issuer}/device/confirm?user_code=${await deviceCode()}`);
    await choose(page, 'decision', 'deny');
  }),
  account: signedIn((page) => page.goto(`${vs.issuer}/account`)),
  password: signedIn((page) => page.goto(`${vs.issuer}/account/password`)),
  'password-refused': signedIn(async (page) => {
    await page.goto(`${vs.issuer}/account/password`);
    await refused(page, { current_password: people.alice.password, new_password: 'short' });
  }),
  logout: signedIn((page) => page.goto(`${vs.issuer}/logout?client_id=plain`)),
  'signed-out': stranger((page) => page.goto(`${vs.issuer}/signed-out`)),
  'signed-out-back': stranger((page) => page.goto(`${vs.issuer}/logout?${new URLSearchParams({
    client_id: 'plain', post_logout_redirect_uri: `${apps.plain.origin}/goodbye`,
  })}`)),
  'error-client': stranger((page) => authorize(page, 'plain', { client_id: 'nobody' })),
  'error-redirect': stranger((page) => authorize(page, 'plain', { redirect_uri: 'https://evil.example/' })),
  'error-registered': stranger((page) => {
    const wrong = new URL(registered);
    wrong.searchParams.set('scope', 'openid nothing:known');
    return page.goto(wrong.href);
  }),
  'form-post': signedIn(async (page) => {
    // It leaves by itself; without its script it stays to be looked at.
    await page.route(/form-post[^/]*\.js/, (route) => route.fulfill({ contentType: 'text/javascript', body: '' }));
    await authorize(page, 'trusted', { response_mode: 'form_post' });
  }),
};

/** Opens a page as who may see it, in a language, and hands it over. */
const visit = ({ who, reach }, language, body) => inWindow(browser, {
  locale: language === 'de' ? 'de-AT' : 'en-GB',
  storageState: who === 'member' ? member : undefined,
}, async (page) => {
  await page.route('https://shop.example/**', (route) => route.fulfill({ contentType: 'image/svg+xml', body: LOGO }));
  await reach(page);
  assert.ok(page.url().startsWith(`${vs.issuer}/`), page.url());
  await body(page);
});

describe('pages', { concurrency: 4 }, () => {
  for (const [name, place] of Object.entries(PAGES)) {
    test(`${name}: every width, theme and size`, bounded, () => visit(place, 'en', async (page) => {
      await structured(page, 'en');
      await everyLook(page, name, true);
      await reachable(page);
      await walked(page);
    }));
    test(`${name}: in German`, bounded, () => visit(place, 'de', async (page) => {
      await structured(page, 'de');
      await everyLook(page, `${name}-de`, false);
    }));
  }
});

/** What a reader without eyes goes by. */
async function structured(page, language) {
  assert.equal(await page.locator('html').getAttribute('lang'), language);
  assert.equal(await page.locator('main').count(), 1);
  assert.equal(await page.locator('h1').count(), 1);
  assert.ok((await page.locator('main h1').innerText()).trim());
  assert.ok((await page.title()).trim());
  assert.ok(await page.locator('body').getAttribute('data-page'));
  assert.equal(await page.locator('[style], style, script:not([src])').count(), 0, 'something is inline');
}

async function everyLook(page, name, judged) {
  if (judged) await page.evaluate(axe.source);
  for (const colorScheme of THEMES) {
    await page.emulateMedia({ colorScheme });
    for (const width of WIDTHS) {
      await page.setViewportSize({ width, height: HEIGHT });
      const look = `${name}-${width}-${colorScheme}`;
      await page.screenshot({ path: path.join(pictures, `${look}.png`), fullPage: true });
      const [wide, seen] = await page.evaluate(() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]);
      assert.ok(wide <= seen, `${look} scrolls sideways: ${wide} px`);
      if (judged) assert.deepEqual(await judgement(page), [], look);
    }
  }
}

async function judgement(page) {
  const { violations } = await page.evaluate(() => globalThis.axe.run(document));
  return violations.map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.map(({ target, failureSummary }) => `${target} ${failureSummary}`).join('; ')}`);
}

/** What can be pressed or filled in, as far as it is to be seen. */
const controls = (page, what) => page.locator(what).filter({ visible: true });

/** At 400 % of a window of 1280 by 1024, every button comes into view whole and is covered by nothing, and none is small. */
async function reachable(page) {
  const tools = await page.context().newCDPSession(page);
  await tools.send('Emulation.setDeviceMetricsOverride', { width: 320, height: 256, deviceScaleFactor: 4, mobile: false });
  for (const control of await controls(page, 'main button, main input:not([type="hidden"])').all()) {
    const found = await control.evaluate((element) => {
      element.scrollIntoView({ block: 'center', behavior: 'instant' });
      const { left, top, right, bottom, height } = element.getBoundingClientRect();
      return {
        height,
        inside: left >= 0 && top >= -1 && right <= innerWidth && bottom <= innerHeight + 1,
        uncovered: element.contains(document.elementFromPoint((left + right) / 2, (top + bottom) / 2)),
        what: element.outerHTML.slice(0, 120),
      };
    });
    assert.ok(found.inside && found.uncovered, `out of reach at 400 %: ${JSON.stringify(found)}`);
    assert.ok(found.height >= TARGET_PX - 0.5, `${found.height} px high: ${found.what}`);
  }
  await tools.send('Emulation.clearDeviceMetricsOverride');
  await tools.detach();
}

/** By Tab through everything that can be pressed or filled in: each shows that it has the focus. */
async function walked(page) {
  await page.setViewportSize({ width: WIDTHS[1], height: HEIGHT });
  const wanted = await controls(page, 'main :is(a[href], button, input:not([type="hidden"])):not([tabindex="-1"])').count();
  await page.evaluate(() => { globalThis.walked = new Set(); });
  let reached = 0;
  for (let step = 0; step < wanted + 20 && reached < wanted; step += 1) {
    await page.keyboard.press('Tab');
    const focus = await page.evaluate(() => {
      const element = document.activeElement;
      if (element.closest('main') !== null) globalThis.walked.add(element);
      const { outlineStyle, outlineWidth, boxShadow } = getComputedStyle(element);
      return {
        reached: globalThis.walked.size,
        shown: element === document.body || (outlineStyle !== 'none' && outlineWidth !== '0px') || boxShadow !== 'none',
        what: element.outerHTML.slice(0, 120),
      };
    });
    assert.ok(focus.shown, `no sign of the focus: ${focus.what}`);
    reached = focus.reached;
  }
  assert.ok(reached >= wanted, `${wanted} controls, the keyboard reaches ${reached}`);
}

test('ui_locales goes before the browser, the first known language wins, and it stays on the way', bounded, async () => {
  const languageOf = (page) => page.locator('html').getAttribute('lang');
  for (const [locale, ui_locales, expected] of [
    ['en-GB', 'de', 'de'], ['en-GB', 'fr de-CH en', 'de'], ['de-AT', 'en', 'en'], ['en-GB', 'fr', 'en'], ['de-AT', 'fr', 'de'], ['fr-FR', undefined, 'en'],
  ]) {
    await inWindow(browser, { locale }, async (page) => {
      await authorize(page, 'plain', ui_locales && { ui_locales });
      assert.equal(await languageOf(page), expected, `${locale}, ${ui_locales}`);
    });
  }
  await inWindow(browser, {}, async (page) => {
    await authorize(page, 'plain', { ui_locales: 'de' });
    await signIn(page, people.bob);
    assert.equal(await languageOf(page), 'de', 'at the consent');
    await page.goto(`${vs.issuer}/logout?ui_locales=de`);
    assert.equal(await languageOf(page), 'de', 'at signing out');
  });
});

test('every page says something else in German', bounded, async () => {
  const heading = async (place, language) => {
    let text;
    await visit(place, language, async (page) => { text = await page.locator('main h1').innerText(); });
    return text;
  };
  for (const name of ['sign-in', 'sign-up', 'consent', 'device', 'account', 'logout', 'error-client']) {
    assert.notEqual(await heading(PAGES[name], 'de'), await heading(PAGES[name], 'en'), name);
  }
});
