/*
 * epoch: when memory that readers may still look at can be freed (quiescent-state-based
 * reclamation).
 *
 * A reader is a loop thread. It announces at the end of each turn that it holds nothing of any
 * window. What a writer retires is freed when every reader has announced since. No reader ever
 * waits.
 */
#ifndef SLUICE_FEED_EPOCH_H
#define SLUICE_FEED_EPOCH_H

#include <stdbool.h>
#include <stdint.h>

enum { EPOCH_MAX_READERS = 256 };

struct epoch;

struct epoch *epoch_new(void);
void epoch_free(struct epoch *epoch);

/* A slot for a reader; it is online from here on. Thread: the reader's, or before it starts. */
int epoch_join(struct epoch *epoch);
void epoch_leave(struct epoch *epoch, int reader);
/* The reader holds nothing now. Thread: the reader's. */
void epoch_quiesce(struct epoch *epoch, int reader);

/* A stamp for something that readers can no longer find. Thread: any. */
uint64_t epoch_retire(struct epoch *epoch);
/* True when no reader can still look at what got this stamp. Thread: any. */
bool epoch_passed(struct epoch *epoch, uint64_t stamp);

#endif
