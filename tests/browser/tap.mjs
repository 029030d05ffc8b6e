/* tap: runs scenarios one after another and prints the Test Anything Protocol; the exit code says whether all held. */
import { setTimeout as sleep } from 'node:timers/promises';

const PATIENCE_MS = 60000, STEP_MS = 25;
const scenarios = [];

export function scenario(name, run) {
	scenarios.push({ name, run });
}

/* Waits until `condition` gives something true, and returns it. The time is for what will never happen: nothing is measured. */
export async function until(what, condition) {
	const deadline = Date.now() + PATIENCE_MS;
	for (;;) {
		const value = await condition();
		if (value) return value;
		if (Date.now() > deadline) throw new Error(`has waited in vain until ${what}`);
		await sleep(STEP_MS);
	}
}

function diagnose(error) {
	for (const line of String(error.stack ?? error).split('\n')) console.log(`# ${line}`);
}

/* SLUICE_SCENARIO picks those whose name holds it. `tidy` runs after each, however it went. Returns how many failed. */
export async function runScenarios(context, tidy) {
	const wanted = scenarios.filter(({ name }) => name.includes(process.env.SLUICE_SCENARIO ?? ''));
	let number = 0, failed = 0;
	console.log(`1..${wanted.length}`);
	for (const { name, run } of wanted) {
		const error = await run(context).then(() => null, thrown => thrown);
		await tidy();
		console.log(`${error ? 'not ok' : 'ok'} ${++number} - ${name}`);
		if (!error) continue;
		failed++;
		diagnose(error);
	}
	return failed || (number ? 0 : 1);
}
