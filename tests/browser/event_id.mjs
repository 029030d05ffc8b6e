/* event_id: looks into an event id, as include/event/event_id.h describes it. */

const HEAD_BYTES = 10, FLAGS_AT = 1, FINAL = 1;

/* The same id, marked as the last one of its stream. */
export function withFinalFlag(id) {
	const bytes = Buffer.from(id, 'base64url');
	bytes[FLAGS_AT] |= FINAL;
	return bytes.toString('base64url');
}

/* How many records lie before the position, over all partitions. */
export function recordsBefore(id) {
	const bytes = Buffer.from(id, 'base64url');
	let at = HEAD_BYTES, sum = 0;
	const varint = () => {
		let number = 0;
		for (let factor = 1; ; factor *= 128) {
			const byte = bytes[at++];
			number += (byte & 127) * factor;
			if (byte < 128) return number;
		}
	};
	for (let topics = varint(); topics > 0; topics--)
		for (let partitions = varint(); partitions > 0; partitions--) sum += varint();
	return sum;
}
