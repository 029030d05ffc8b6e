/* gateway: the gateway as a process that can be killed and comes back on the same ports, and a producer beside it. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream, writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { until } from './tap.mjs';

/* A child dies with this process, however that ends. */
function spawnTied(binary, args, options) {
	return spawn('setpriv', ['--pdeathsig', 'KILL', '--', binary, ...args], options);
}

export class Gateway {
	/* `config` is written anew before every start; ports that are 0 in it are filled in by the first one. */
	constructor({ binary, brokers, config, configFile, logFile }) {
		Object.assign(this, { binary, brokers, config, configFile, logFile });
		this.log = createWriteStream(logFile);
	}

	runs() {
		return this.process?.exitCode === null && this.process.signalCode === null;
	}

	async start() {
		writeFileSync(this.configFile, JSON.stringify(this.config, null, '\t'));
		this.process = spawnTied(this.binary, ['--config', this.configFile], { stdio: ['ignore', 'ignore', 'pipe'] });
		this.ended = once(this.process, 'exit');
		const lines = createInterface({ input: this.process.stderr });
		const listeners = this.config.listeners;
		let listening = 0;
		lines.on('line', line => {
			this.log.write(line + '\n');
			if (!line.includes('"message":"listening"')) return;
			listeners[listening++].port = JSON.parse(line).port;
		});
		await until('the gateway listens', () => {
			if (!this.runs()) throw new Error(`the gateway ended; see ${this.logFile}`);
			return listening === listeners.length;
		});
	}

	url(listener = 0) {
		const { port, tls } = this.config.listeners[listener];
		return `${tls ? 'https' : 'http'}://127.0.0.1:${port}`;
	}

	async ready() {
		await until('/readyz says yes', () => fetch(this.url() + '/readyz').then(response => response.ok, () => false));
	}

	async #end(signal) {
		this.process.kill(signal);
		return (await this.ended)[0];
	}

	kill() {
		return this.#end('SIGKILL');
	}

	/* Returns the exit code. */
	stop() {
		return this.#end('SIGTERM');
	}

	openProducer(topic) {
		return new Producer(spawnTied(this.binary, ['produce', '--brokers', this.brokers, topic],
			{ stdio: ['pipe', 'pipe', 'inherit'] }));
	}

	/* Returns when Kafka has the records: [key, value], the value as JSON. */
	async produce(topic, records) {
		const producer = this.openProducer(topic);
		for (const [key, value] of records) producer.send(key, value);
		await producer.close();
	}
}

class Producer {
	#process;
	#output = '';
	#sent = 0;

	constructor(process) {
		this.#process = process;
		process.stdout.on('data', data => { this.#output += data; });
	}

	send(key, value) {
		this.#sent++;
		this.#process.stdin.write(`${key}\t${JSON.stringify(value)}\n`);
	}

	async close() {
		this.#process.stdin.end();
		const [code] = await once(this.#process, 'close');
		if (code !== 0 || !this.#output.startsWith(`${this.#sent} records delivered`))
			throw new Error(`of ${this.#sent} records not all were produced: ${this.#output}`);
	}
}
