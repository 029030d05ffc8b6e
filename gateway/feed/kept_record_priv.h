/*
 * kept_record: a record's bytes as the window keeps them for checks, beside the frame. Topic,
 * partition and offset are the entry's. Pure. Thread: any.
 */
#ifndef SLUICE_FEED_KEPT_RECORD_PRIV_H
#define SLUICE_FEED_KEPT_RECORD_PRIV_H

#include "base/buffer.h"
#include "event/record.h"

void kept_record_append(const struct record *record, struct buffer *out);
/* Only the key, where nothing else is looked at. */
void kept_record_append_key(const struct record *record, struct buffer *out);
/* Fills in what was kept; the slices point into `bytes`, which are this module's own, and the
 * headers into `headers`. */
void kept_record_read(struct slice bytes, struct buffer *headers, struct record *record);
/* The key of what was kept in either way, borrowed from `bytes`; false, and it is empty, where it
 * is null. */
bool kept_record_key(struct slice bytes, struct slice *key);

#endif
