/* recorder: a TCP proxy for HTTP/1.1 that keeps what the browser asked and what it was answered, and can cut the line. */
import { once } from 'node:events';
import net from 'node:net';

const HEAD_END = '\r\n\r\n';

function parseHead(text) {
	const [first, ...lines] = text.split('\r\n');
	const fields = new Map(lines.map(line => {
		const colon = line.indexOf(':');
		return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
	}));
	return { path: first.split(' ')[1], fields, response: '', begun: performance.now(), ended: undefined };
}

export class Recorder {
	#server;
	#port;
	requests = []; /* GETs have no body: one follows the other */

	static async start(port) {
		const recorder = new Recorder();
		recorder.#port = port;
		recorder.#server = net.createServer(client => recorder.#serve(client)).listen(0, '127.0.0.1');
		await once(recorder.#server, 'listening');
		return recorder;
	}

	url() {
		return `http://127.0.0.1:${this.#server.address().port}`;
	}

	to(path) {
		return this.requests.filter(request => request.path === path);
	}

	/* Ends the connections that carry this path, in good order: what the gateway sent before arrives. */
	cut(path) {
		for (const request of this.to(path)) request.cut();
	}

	stop() {
		this.#server.close();
		for (const request of this.requests) request.cut();
	}

	#serve(client) {
		const gateway = net.connect(this.#port, '127.0.0.1');
		let asked = '', current;
		const cut = () => { gateway.destroy(); client.end(); };
		client.on('data', data => {
			gateway.write(data);
			asked += data.toString('latin1');
			for (let end; (end = asked.indexOf(HEAD_END)) >= 0; asked = asked.slice(end + HEAD_END.length)) {
				current = Object.assign(parseHead(asked.slice(0, end)), { cut });
				this.requests.push(current);
			}
		});
		gateway.on('data', data => {
			client.write(data);
			if (current) current.response += data.toString('latin1');
		});
		gateway.on('end', () => {
			if (current) current.ended = performance.now();
			client.end();
		});
		gateway.on('error', () => client.destroy());
		client.on('error', () => {});
		client.on('close', () => gateway.destroy());
	}
}
