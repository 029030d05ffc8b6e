/*
 * ledger: what one subscriber is owed and what it got: each event once, and in the order of its
 * partition.
 *
 * Events are numbered as the test likes, from 0 to below the count; within a partition the numbers
 * rise. Thread: one at a time.
 */
#ifndef SLUICE_TESTS_LIB_LEDGER_H
#define SLUICE_TESTS_LIB_LEDGER_H

#include <stdbool.h>
#include <stdint.h>

enum { LEDGER_PARTITIONS = 64 };

struct ledger {
	char name[48];
	uint32_t event_count;
	uint8_t *marks; /* of each event: owed, got */
	uint32_t owed, got;
	int64_t last[LEDGER_PARTITIONS]; /* got last from each partition; -1: nothing yet */
	char fault[128];                 /* what went wrong first; "": nothing */
};

void ledger_init(struct ledger *ledger, const char *name, uint32_t event_count);
void ledger_fini(struct ledger *ledger);

/* The subscriber is to get it. */
void ledger_owe(struct ledger *ledger, uint32_t event);
/* It came. What must not be becomes the fault. */
void ledger_take(struct ledger *ledger, uint32_t event, uint32_t partition);
/* Something came that must not be. */
void ledger_fail(struct ledger *ledger, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* It got all that it is owed. */
bool ledger_complete(const struct ledger *ledger);
/* One line on standard error for one that is not complete or has a fault. True: it has neither. */
bool ledger_report(const struct ledger *ledger);

#endif
