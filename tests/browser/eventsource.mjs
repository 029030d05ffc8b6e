/*
 * eventsource: what a real browser makes of the gateway.
 *
 * Environment: SLUICE_KAFKA, brokers that have the topic browser.orders (or make it when asked); SLUICE_BINARY, the gateway
 * (build/release/sluice); SLUICE_BROWSER_FOLDER, where node_modules lies and the screenshots go (build/browser);
 * SLUICE_TEST_LOGS, where the gateway's log goes (the temporary folder); SLUICE_CHROMIUM (/usr/bin/chromium); SLUICE_SCENARIO,
 * a part of the names of those to run.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import http from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { CLOSED, Subscription, launchChromium, openPage } from './browser.mjs';
import { recordsBefore, withFinalFlag } from './event_id.mjs';
import { Gateway } from './gateway.mjs';
import { Recorder } from './recorder.mjs';
import { runScenarios, scenario, until } from './tap.mjs';

const TOPIC = 'browser.orders', COOKIE = 'sluice_token', SECRET = 'a secret of the tests, 32 bytes or more';
const HTTP = 0, HTTPS = 1;
const SOON_MS = 50; /* the reconnection time that most records bring */
const TIMER_SLACK_MS = 25; /* between this process's clock and the browser's */

let lastNumber = 0;

/* A record for produce(): the key, and a value with a number of its own. */
function order(user, { type = 'paid', retry = SOON_MS } = {}) {
	return [user, { n: ++lastNumber, user, type, retry }];
}

function numbers(records) {
	return records.map(([, value]) => value.n);
}

function hs256(claims) {
	const encode = value => Buffer.from(JSON.stringify(value)).toString('base64url');
	const signed = `${encode({ alg: 'HS256', typ: 'JWT' })}.${encode(claims)}`;
	return `${signed}.${createHmac('sha256', SECRET).update(signed).digest('base64url')}`;
}

function makeCertificate(folder) {
	const files = { certificate_file: path.join(folder, 'certificate.pem'), key_file: path.join(folder, 'key.pem') };
	execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2',
		'-subj', '/CN=localhost', '-addext', 'subjectAltName=IP:127.0.0.1',
		'-out', files.certificate_file, '-keyout', files.key_file], { stdio: 'ignore' });
	return files;
}

/* An origin of its own: an empty page at every path. */
async function startOrigin() {
	const server = http.createServer((request, response) => response.end('<!doctype html>')).listen(0, '127.0.0.1');
	await once(server, 'listening');
	return { server, url: `http://127.0.0.1:${server.address().port}` };
}

function configure(brokers, tls, allowedOrigin) {
	const event = { event: '/value/type', retry: '/value/retry' };
	const stream = { topics: [TOPIC], access: 'public', event };
	const filter = { key: ['{path.user_id}'] };
	return {
		listeners: [{ address: '127.0.0.1', port: 0 }, { address: '127.0.0.1', port: 0, tls }],
		http: { drain: '4s' },
		cors: { origins: [allowedOrigin], credentials: true },
		auth: { issuers: [{ algorithms: ['HS256'], secret: SECRET }], cookie: COOKIE },
		kafka: { 'bootstrap.servers': brokers, 'fetch.wait.max.ms': 10 },
		streams: {
			'orders': { ...stream, path: '/orders', description: 'Everybody\'s orders.' },
			'user-orders': { ...stream, path: '/users/{user_id}/orders', filter },
			'quiet': { ...stream, path: '/quiet/{user_id}', filter, heartbeat: '200ms' },
			'history': {
				...stream, path: '/history', client_filters: true, start: { last: 5 }, follow: '{query.follow}',
				params: { follow: { type: 'boolean', default: true } },
			},
			'private': { ...stream, path: '/private/{user_id}', filter, access: { claims: { sub: ['{path.user_id}'] } } },
		},
	};
}

scenario('EventSource gets events with their types, data and ids', async ({ browser, gateway }) => {
	const page = await openPage(browser, gateway.url() + '/healthz');
	const subscription = await Subscription.connect(page, '/orders');
	const sent = ['created', 'paid', 'shipped', undefined].map(type => order('ada', { type: type ?? null }));
	await gateway.produce(TOPIC, sent);
	await subscription.untilNumber(sent.at(-1)[1].n);
	const got = await subscription.records();
	assert.deepEqual(got.map(({ type }) => type), ['created', 'paid', 'shipped', 'message']);
	assert.deepEqual(got.map(({ value }) => value), sent.map(([, value]) => value));
	const { events: [connected] } = await subscription.look();
	const before = recordsBefore(connected.lastEventId);
	assert.deepEqual(got.map(({ lastEventId }) => recordsBefore(lastEventId) - before), [1, 2, 3, 4]);

	const resumed = await Subscription.open(page, `/orders?lastEventId=${got[1].lastEventId}`);
	await resumed.untilNumber(sent.at(-1)[1].n);
	assert.deepEqual((await resumed.records()).map(({ value }) => value.n), numbers(sent.slice(2)));
});

/* Sends one by one, with pauses that let the gateway be in the middle of it when it is killed. */
async function sendSlowly(producer, count, sent) {
	for (let i = 0; i < count; i++) {
		const record = order(['ada', 'grace', 'edsger'][i % 3]);
		producer.send(...record);
		sent.push(record);
		await sleep(2);
	}
}

/* Partitions have no order among each other, users do. */
async function assertExactlyOnce(subscription, sent, users) {
	const records = await subscription.records();
	for (const user of users)
		assert.deepEqual(records.filter(({ value }) => value.user === user).map(({ value }) => value.n),
			numbers(sent.filter(([key]) => key === user)));
	assert.equal(records.length, sent.filter(([key]) => users.includes(key)).length);
}

scenario('after kill -9, again and again, every event comes exactly once and in order', async ({ browser, gateway }) => {
	const page = await openPage(browser, gateway.url() + '/healthz');
	const all = await Subscription.connect(page, '/orders');
	const adas = await Subscription.connect(page, '/users/ada/orders');
	const producer = gateway.openProducer(TOPIC);
	const sent = [];
	for (let round = 0; round < 4; round++) {
		await sendSlowly(producer, 60, sent);
		const sending = sendSlowly(producer, 90, sent);
		await gateway.kill();
		await sending;
		await sendSlowly(producer, 30, sent);
		await gateway.start();
		await adas.until('is open again', ({ opened }) => opened > round + 1);
		await all.until('is open again', ({ opened }) => opened > round + 1);
	}
	const last = ['ada', 'grace', 'edsger'].map(user => order(user));
	for (const record of last) producer.send(...record);
	sent.push(...last);
	await producer.close();
	for (const n of numbers(last)) await all.untilNumber(n);
	await adas.untilNumber(last[0][1].n);
	await assertExactlyOnce(all, sent, ['ada', 'grace', 'edsger']);
	await assertExactlyOnce(adas, sent, ['ada']);
});

scenario('204 to a final id ends EventSource for good', async ({ browser, gateway }) => {
	const recorder = await Recorder.start(gateway.config.listeners[HTTP].port);
	const page = await openPage(browser, recorder.url() + '/healthz');
	const open = await Subscription.connect(page, '/orders');
	const { lastEventId } = (await open.look()).events[0];
	const url = `/orders?lastEventId=${withFinalFlag(lastEventId)}`;
	const ended = await Subscription.open(page, url);
	const seen = await ended.until('is closed', ({ state }) => state === CLOSED);
	assert.deepEqual([seen.opened, seen.errors, seen.events], [0, 1, []]);
	assert.match(recorder.to(url)[0].response, /^HTTP\/1\.1 204 /);
	/* The one that is not final comes back from the same cut: by then the ended one would have, too. */
	await gateway.produce(TOPIC, [order('ada')]);
	await open.untilNumber(lastNumber);
	recorder.cut('/orders');
	await open.until('is open again', ({ opened }) => opened === 2);
	assert.equal(recorder.to(url).length, 1);
	recorder.stop();
});

scenario('heartbeats move the id that the browser comes back with', async ({ browser, gateway }) => {
	const recorder = await Recorder.start(gateway.config.listeners[HTTP].port);
	const page = await openPage(browser, recorder.url() + '/healthz');
	const subscription = await Subscription.connect(page, '/quiet/nobody');
	const { events: [connected] } = await subscription.look();
	await gateway.produce(TOPIC, [order('ada'), order('grace'), order('edsger'), order('ada'), order('ada')]);
	const moved = await until('a heartbeat is past what others got', () => {
		const ids = recorder.to('/quiet/nobody')[0].response.matchAll(/\nid: (\S+)\n\n/g);
		return [...ids].map(([, id]) => id).find(id => recordsBefore(id) === recordsBefore(connected.lastEventId) + 5);
	});
	recorder.cut('/quiet/nobody');
	await subscription.until('is open again', ({ opened }) => opened === 2);
	assert.equal(recorder.to('/quiet/nobody')[0].fields.get('last-event-id'), undefined);
	assert.equal(recorder.to('/quiet/nobody')[1].fields.get('last-event-id'), moved);
	assert.deepEqual(await subscription.records(), []);
	await gateway.produce(TOPIC, [order('nobody')]);
	await subscription.untilNumber(lastNumber);
	assert.equal((await subscription.records()).length, 1);
	recorder.stop();
});

scenario('a page of an allowed origin reads with its cookie, others read nothing', async ({ browser, gateway, allowed, refused }) => {
	const page = await openPage(browser, allowed.url);
	await page.context().addCookies([{ name: COOKIE, value: hs256({ sub: 'ada' }), url: gateway.url() }]);
	const own = await Subscription.connect(page, gateway.url() + '/private/ada', { withCredentials: true });
	await gateway.produce(TOPIC, [order('ada')]);
	await own.untilNumber(lastNumber);
	const without = await Subscription.open(page, gateway.url() + '/private/ada?');
	await without.until('is refused without the cookie', ({ state }) => state === CLOSED);
	const others = await Subscription.open(page, gateway.url() + '/private/grace', { withCredentials: true });
	await others.until('is refused', ({ state }) => state === CLOSED);

	await page.goto(refused.url);
	for (const [url, options] of [['/private/ada', { withCredentials: true }], ['/orders', {}]]) {
		const subscription = await Subscription.open(page, gateway.url() + url, options);
		const seen = await subscription.until('is refused', ({ state }) => state === CLOSED);
		assert.deepEqual([seen.opened, seen.events], [0, []]);
	}
});

scenario('twenty streams share one HTTP/2 connection over TLS and survive kill -9', async ({ browser, gateway }) => {
	const page = await openPage(browser, gateway.url(HTTPS) + '/healthz', { ignoreHTTPSErrors: true });
	assert.equal(await page.evaluate(() => performance.getEntriesByType('navigation')[0].nextHopProtocol), 'h2');
	const users = Array.from({ length: 20 }, (_, i) => `user-${i}`);
	const subscriptions = [];
	for (const user of users) subscriptions.push(await Subscription.connect(page, `/users/${user}/orders`));
	const first = users.map(user => order(user)), second = users.map(user => order(user));
	await gateway.produce(TOPIC, first);
	for (const [i, [, { n }]] of first.entries()) await subscriptions[i].untilNumber(n);
	await gateway.kill();
	await gateway.produce(TOPIC, second);
	await gateway.start();
	for (const [i, subscription] of subscriptions.entries()) {
		await subscription.untilNumber(second[i][1].n);
		assert.deepEqual((await subscription.records()).map(({ value }) => value.n), [first[i][1].n, second[i][1].n]);
	}
});

scenario('two streams share one EventSource, and each event tells its own', async ({ browser, gateway }) => {
	const page = await openPage(browser, gateway.url() + '/healthz');
	const paths = { ada: '/users/ada/orders', grace: '/users/grace/orders' };
	const query = new URLSearchParams(Object.values(paths).map(path => ['s', path]));
	const types = Object.values(paths).flatMap(path => [path, `${path}#connected`, `${path}#paid`, `${path}#created`]);
	const both = await Subscription.open(page, `/streams?${query}`, { types });
	await both.until('is connected twice', ({ events }) => events.length === 2);
	const sent = [order('ada'), order('grace', { type: 'created' }), order('edsger'), order('ada', { type: null })];
	await gateway.produce(TOPIC, sent);
	await both.untilNumber(sent[1][1].n);
	await both.untilNumber(sent[3][1].n);
	await gateway.kill();
	sent.push(order('grace'), order('edsger'), order('ada'));
	await gateway.produce(TOPIC, sent.slice(4));
	await gateway.start();
	await both.untilNumber(sent[4][1].n);
	await both.untilNumber(sent[6][1].n);
	await assertExactlyOnce(both, sent, ['ada', 'grace']);
	for (const { type, value } of await both.records())
		assert.equal(type, value.type ? `${paths[value.user]}#${value.type}` : paths[value.user]);
});

scenario('SIGTERM tells each browser when to come back, and it does', async ({ browser, gateway }) => {
	const recorder = await Recorder.start(gateway.config.listeners[HTTP].port);
	const page = await openPage(browser, recorder.url() + '/healthz');
	const users = ['ada', 'grace', 'edsger', 'barbara', 'tony'];
	const urls = users.map(user => `/users/${user}/orders`);
	const subscriptions = [];
	for (const url of urls) subscriptions.push(await Subscription.connect(page, url));
	/* Without what SIGTERM says they would be back after one millisecond. */
	const first = users.map(user => order(user, { retry: 1 })), second = users.map(user => order(user));
	await gateway.produce(TOPIC, first);
	for (const [i, [, { n }]] of first.entries()) await subscriptions[i].untilNumber(n);
	assert.equal(await gateway.stop(), 0);
	await gateway.produce(TOPIC, second);
	await gateway.start();
	const retries = new Set();
	for (const [i, [, { n }]] of second.entries()) {
		await subscriptions[i].untilNumber(n);
		const { events } = await subscriptions[i].look();
		const [before, after] = recorder.to(urls[i]);
		const retry = Number(/\nretry: (\d+)\n\n$/.exec(before.response)[1]);
		retries.add(retry);
		assert.ok(after.begun - before.ended >= retry - TIMER_SLACK_MS, `back before ${retry} ms`);
		assert.equal(after.fields.get('last-event-id'), events.find(({ type }) => type === 'paid').lastEventId);
		assert.deepEqual((await subscriptions[i].records()).map(({ value }) => value.n), [first[i][1].n, n]);
	}
	assert.ok(retries.size > 1, 'all are told the same time');
	recorder.stop();
});

async function takeScreenshots(page, folder) {
	for (const colorScheme of ['light', 'dark']) {
		await page.emulateMedia({ colorScheme });
		await page.screenshot({ path: path.join(folder, colorScheme === 'light' ? 'page.png' : 'page-dark.png') });
	}
}

scenario('the page lists the streams, subscribes by a click, to one or two, with a filter, and says why it is refused', async ({ browser, gateway, folder }) => {
	const page = await browser.newPage();
	const errors = [];
	page.on('pageerror', error => errors.push(error));
	await page.goto(gateway.url());
	const state = page.getByRole('status'), rows = page.locator('tbody tr');
	const subscribeTo = name => page.getByRole('button', { name: `Subscribe to ${name}`, exact: true }).click();
	await page.getByRole('heading', { name: 'orders', exact: true }).waitFor();
	assert.equal(await page.getByRole('article').count(), Object.keys(gateway.config.streams).length);

	await subscribeTo('orders');
	await rows.filter({ hasText: 'connected' }).waitFor();
	const sent = [order('ada', { type: 'created' }), order('grace', { type: 'paid' })];
	await gateway.produce(TOPIC, sent);
	for (const [, value] of sent)
		await rows.filter({ hasText: value.type }).filter({ hasText: JSON.stringify(value) }).waitFor();
	await gateway.kill();
	sent.push(order('ada', { type: 'shipped' }));
	await gateway.produce(TOPIC, sent.slice(-1));
	await gateway.start();
	await rows.filter({ hasText: 'shipped' }).waitFor();
	for (const [, { n }] of sent) assert.equal(await rows.filter({ hasText: `{"n":${n},` }).count(), 1);
	await takeScreenshots(page, folder);

	await page.getByRole('button', { name: 'Stop' }).click();
	await state.filter({ hasText: 'stopped' }).waitFor();
	const cardOf = name => page.getByRole('article').filter({ has: page.getByRole('heading', { name, exact: true }) });
	const history = cardOf('history'), card = cardOf('private');
	await history.getByLabel('filter').fill(JSON.stringify({ value: { n: [sent[1][1].n] } }));
	await history.getByLabel('follow').selectOption('false');
	await subscribeTo('history');
	await state.filter({ hasText: 'ended' }).waitFor();
	assert.equal(await rows.filter({ hasText: '"n":' }).count(), 1);
	assert.equal(await rows.filter({ hasText: JSON.stringify(sent[1][1]) }).count(), 1);

	await page.getByText('Several in one connection').click();
	await page.getByRole('button', { name: 'Subscribe to both' }).click();
	for (const name of ['orders', 'history']) await rows.filter({ hasText: `/${name}#connected` }).waitFor();

	await card.getByLabel('user_id').fill('ada');
	await subscribeTo('private');
	await state.filter({ hasText: /refused: 401 .*token/ }).waitFor();
	await card.getByLabel('access token').fill(hs256({ sub: 'ada' }));
	await subscribeTo('private');
	await state.filter({ hasText: 'open' }).waitFor();
	assert.ok(!(await page.locator('body').innerText()).includes(hs256({ sub: 'ada' })));
	assert.deepEqual(errors, []);
});

/* Whatever the scenario left behind: open pages, a gateway that is down. */
async function tidy() {
	for (const context of browser.contexts()) await context.close();
	if (!gateway.runs()) await gateway.start();
}

const folder = process.env.SLUICE_BROWSER_FOLDER ?? 'build/browser';
const temporary = mkdtempSync(path.join(tmpdir(), 'sluice-browser-'));
const logFile = path.join(process.env.SLUICE_TEST_LOGS ?? tmpdir(), `browser-gateway-${process.pid}.log`);
const brokers = process.env.SLUICE_KAFKA;
assert.ok(brokers, 'SLUICE_KAFKA names no brokers');
const allowed = await startOrigin(), refused = await startOrigin();
const gateway = new Gateway({
	binary: process.env.SLUICE_BINARY ?? 'build/release/sluice',
	brokers,
	logFile,
	configFile: path.join(temporary, 'sluice.json'),
	config: configure(brokers, makeCertificate(temporary), allowed.url),
});
await gateway.produce(TOPIC, [order('nobody')]);
await gateway.start();
await gateway.ready();
const browser = await launchChromium(folder);
const failed = await runScenarios({ browser, gateway, allowed, refused, folder }, tidy);
await browser.close();
await gateway.stop();
rmSync(temporary, { recursive: true });
if (failed) console.log(`# the gateway's log: ${logFile}`);
else rmSync(logFile);
process.exit(failed ? 1 : 0);
