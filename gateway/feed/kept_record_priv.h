/*
 * kept_record: a record's bytes as the window keeps them for checks, beside the frame. Topic,
 * partition and offset are the entry's. Pure. Thread: any.
 */
#ifndef SLUICE_FEED_KEPT_RECORD_PRIV_H
#define SLUICE_FEED_KEPT_RECORD_PRIV_H

#include "base/buffer.h"
#include "event/record.h"

void kept_record_append(const struct record *record, struct buffer *out);
/* Fills in what was kept; the slices point into `bytes`, which are this module's own, and the
 * headers into `headers`. */
void kept_record_read(struct slice bytes, struct buffer *headers, struct record *record);

#endif
