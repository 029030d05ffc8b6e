#include "feed/epoch.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/mem.h"

/* An empty slot holds nothing back. */
#define OFFLINE UINT64_MAX

struct slot {
	_Alignas(64) _Atomic uint64_t seen;
	_Atomic bool taken;
};

struct epoch {
	_Atomic uint64_t now;
	struct slot slots[EPOCH_MAX_READERS];
};

struct epoch *epoch_new(void)
{
	struct epoch *epoch = aligned_alloc(64, sizeof(*epoch));

	assert(epoch);
	atomic_init(&epoch->now, 1);
	for (int i = 0; i < EPOCH_MAX_READERS; i++) {
		atomic_init(&epoch->slots[i].seen, OFFLINE);
		atomic_init(&epoch->slots[i].taken, false);
	}
	return epoch;
}

void epoch_free(struct epoch *epoch)
{
	free(epoch);
}

int epoch_join(struct epoch *epoch)
{
	for (int i = 0; i < EPOCH_MAX_READERS; i++) {
		bool free_slot = false;

		if (atomic_compare_exchange_strong(&epoch->slots[i].taken, &free_slot, true)) {
			epoch_quiesce(epoch, i);
			return i;
		}
	}
	/* More loops than there are slots: the configuration's limit is lower. */
	abort();
}

void epoch_leave(struct epoch *epoch, int reader)
{
	atomic_store(&epoch->slots[reader].seen, OFFLINE);
	atomic_store(&epoch->slots[reader].taken, false);
}

void epoch_quiesce(struct epoch *epoch, int reader)
{
	atomic_store(&epoch->slots[reader].seen, atomic_load(&epoch->now));
}

uint64_t epoch_retire(struct epoch *epoch)
{
	return atomic_fetch_add(&epoch->now, 1) + 1;
}

bool epoch_passed(struct epoch *epoch, uint64_t stamp)
{
	for (int i = 0; i < EPOCH_MAX_READERS; i++)
		if (atomic_load(&epoch->slots[i].seen) < stamp)
			return false;
	return true;
}
