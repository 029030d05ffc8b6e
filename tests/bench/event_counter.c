#include "bench/event_counter.h"

#include <string.h>

#include "bench/pace.h"

static const char EVENT_LINE[] = "data: " PAYLOAD_NUMBER_FIELD;
enum { FIELD_BYTES = sizeof(EVENT_LINE) - 1, NEEDED_BYTES = FIELD_BYTES + PAYLOAD_NUMBER_DIGITS };
_Static_assert((int)NEEDED_BYTES <= (int)EVENT_COUNTER_LINE_BYTES, "a line's beginning holds it");

static uint32_t read_number(const char *digits)
{
	uint32_t number = 0;

	for (int i = 0; i < PAYLOAD_NUMBER_DIGITS; i++)
		number = number * 10 + (uint32_t)(digits[i] - '0');
	return number;
}

static void count_receiver(struct event_totals *totals, uint32_t number)
{
	uint32_t *receivers = &totals->receivers[number % EVENT_COUNTER_RING];

	if (++*receivers < totals->subscribers)
		return;
	*receivers = 0;
	totals->complete++;
}

static void take_line(struct event_counter *counter, struct event_totals *totals, const char *line,
		      size_t len)
{
	uint32_t number;

	if (len < NEEDED_BYTES || memcmp(line, EVENT_LINE, FIELD_BYTES) != 0)
		return;
	number = read_number(line + FIELD_BYTES);
	totals->deliveries++;
	totals->wrong += number != counter->next;
	counter->next = number + 1;
	if (number >= totals->begun)
		totals->begun = number + 1;
	count_receiver(totals, number);
}

static void keep(struct event_counter *counter, const char *bytes, size_t len)
{
	size_t room = EVENT_COUNTER_LINE_BYTES - counter->line_len;

	if (len > room)
		len = room;
	memcpy(counter->line + counter->line_len, bytes, len);
	counter->line_len += (uint8_t)len;
}

void event_counter_feed(struct event_counter *counter, struct event_totals *totals,
			const char *bytes, size_t len)
{
	while (len) {
		const char *end = memchr(bytes, '\n', len);
		size_t line_len = end ? (size_t)(end - bytes) : len;

		if (!end || counter->line_len)
			keep(counter, bytes, line_len);
		if (!end)
			return;
		if (counter->line_len)
			take_line(counter, totals, counter->line, counter->line_len);
		else
			take_line(counter, totals, bytes, line_len);
		counter->line_len = 0;
		bytes += line_len + 1;
		len -= line_len + 1;
	}
}
