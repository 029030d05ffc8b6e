#include "lib/ledger.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"

enum { OWED = 1, GOT = 2 };

void ledger_init(struct ledger *ledger, const char *name, uint32_t event_count)
{
	*ledger = (struct ledger){.event_count = event_count, .marks = mem_zalloc(event_count)};
	snprintf(ledger->name, sizeof(ledger->name), "%s", name);
	for (int i = 0; i < LEDGER_PARTITIONS; i++)
		ledger->last[i] = -1;
}

void ledger_fini(struct ledger *ledger)
{
	free(ledger->marks);
	ledger->marks = NULL;
}

void ledger_owe(struct ledger *ledger, uint32_t event)
{
	ledger->owed += !(ledger->marks[event] & OWED);
	ledger->marks[event] |= OWED;
}

void ledger_fail(struct ledger *ledger, const char *format, ...)
{
	va_list arguments;
	if (ledger->fault[0])
		return;
	va_start(arguments, format);
	vsnprintf(ledger->fault, sizeof(ledger->fault), format, arguments);
	va_end(arguments);
}

void ledger_take(struct ledger *ledger, uint32_t event, uint32_t partition)
{
	if (event >= ledger->event_count || partition >= LEDGER_PARTITIONS) {
		ledger_fail(ledger, "event %u of partition %u never was", event, partition);
		return;
	}
	uint8_t *marks = &ledger->marks[event];
	int64_t *last = &ledger->last[partition];
	if (*marks & GOT)
		ledger_fail(ledger, "event %u came twice", event);
	else if (!(*marks & OWED))
		ledger_fail(ledger, "event %u is not for it", event);
	else if (*last >= event)
		ledger_fail(ledger, "event %u came after %lld of partition %u", event,
			    (long long)*last, partition);
	else
		ledger->got++;
	*marks |= GOT;
	*last = event;
}

bool ledger_complete(const struct ledger *ledger)
{
	return ledger->got == ledger->owed;
}

bool ledger_report(const struct ledger *ledger)
{
	uint32_t missing = 0;
	if (ledger_complete(ledger) && !ledger->fault[0])
		return true;
	while (missing < ledger->event_count && ledger->marks[missing] != OWED)
		missing++;
	fprintf(stderr, "%s: %u of %u events; first missing: %lld; %s\n", ledger->name, ledger->got,
		ledger->owed, missing < ledger->event_count ? (long long)missing : -1,
		ledger->fault[0] ? ledger->fault : "no fault");
	return false;
}
