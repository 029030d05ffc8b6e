/* browser: Chromium, and EventSources in its pages that keep what they were given. */
import { createRequire } from 'node:module';
import path from 'node:path';
import { until } from './tap.mjs';

const FLAGS = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
	'--disable-background-networking', '--disable-component-update', '--disable-sync'];

/* `folder` has the node_modules. */
export function launchChromium(folder) {
	const { chromium } = createRequire(path.resolve(folder, 'package.json'))('playwright-core');
	return chromium.launch({ executablePath: process.env.SLUICE_CHROMIUM ?? '/usr/bin/chromium', args: FLAGS });
}

/* Runs in the page: an EventSource tells only of those types that it was asked for. */
function installLog() {
	const types = ['message', 'connected', 'gap', 'timeout', 'created', 'paid', 'shipped'];
	window.subscriptions = {};
	window.subscribe = (name, url, { types: others = [], ...options } = {}) => {
		const source = new EventSource(url, options);
		const log = { source, opened: 0, errors: 0, events: [] };
		window.subscriptions[name] = log;
		source.onopen = () => { log.opened++; };
		source.onerror = () => { log.errors++; };
		for (const type of [...types, ...others])
			source.addEventListener(type, ({ data, lastEventId }) => log.events.push({ type, data, lastEventId }));
	};
	window.look = name => {
		const { source, opened, errors, events } = window.subscriptions[name];
		return { state: source.readyState, opened, errors, events };
	};
}

export const CLOSED = 2;

/* A page that has nothing of its own: `url` is any of the origin. The caller closes it. */
export async function openPage(browser, url, options) {
	const context = await browser.newContext(options);
	const page = await context.newPage();
	await page.addInitScript(installLog);
	await page.goto(url);
	return page;
}

export class Subscription {
	#page;
	#name;

	/* `options` are EventSource's, and `types` that it is asked for beside the usual ones. */
	static async open(page, url, options) {
		const subscription = new Subscription();
		subscription.#page = page;
		subscription.#name = url;
		await page.evaluate(([name, given]) => window.subscribe(name, name, given), [url, options]);
		return subscription;
	}

	/* The same, and waits for the first event: from here on nothing may be missed. */
	static async connect(page, url, options) {
		const subscription = await Subscription.open(page, url, options);
		await subscription.until('is connected', ({ events }) => events.length > 0);
		return subscription;
	}

	/* { state, opened, errors, events: [{ type, data, lastEventId }] } */
	look() {
		return this.#page.evaluate(name => window.look(name), this.#name);
	}

	/* Its events but for those that the gateway made. */
	async records() {
		const { events } = await this.look();
		return events.filter(({ type }) => !/(^|#)connected$/.test(type)).map(event => ({ ...event, value: JSON.parse(event.data) }));
	}

	until(what, condition) {
		return until(`${this.#name} ${what}`, async () => {
			const seen = await this.look();
			return condition(seen) && seen;
		});
	}

	/* Waits for the record with this number. */
	async untilNumber(n) {
		await until(`${this.#name} has got record ${n}`, async () => (await this.records()).some(({ value }) => value.n === n));
	}
}
