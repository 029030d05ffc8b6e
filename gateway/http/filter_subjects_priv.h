/*
 * filter_subjects: the subjects of whom a filter_registry knows something, or asks for it. Under
 * the registry's lock.
 */
#ifndef SLUICE_HTTP_FILTER_SUBJECTS_PRIV_H
#define SLUICE_HTTP_FILTER_SUBJECTS_PRIV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

struct filter_hold;
struct filter_set;

struct filter_subject {
	struct slice name;      /* first: what the tree compares; owned */
	struct filter_set *set; /* owned; NULL: not known */
	uint64_t generation;    /* moves on with each change that PostgreSQL tells of */
	uint64_t failed_ms;     /* 0: it has not */
	uint64_t free_since_ms;
	uint32_t pins; /* threads that read it now */
	bool queued;
	struct filter_hold *holds;
	struct filter_subject *next_queued;
	struct filter_subject *newer, *older;
};

/* Zero-initialise. */
struct filter_subjects {
	void *tree; /* of tsearch(3) */
	struct filter_subject *newest, *oldest;
	struct filter_subject *queue, *queue_last; /* those to be read */
	size_t queued;
};

/* Nothing is in use. */
void filter_subjects_fini(struct filter_subjects *subjects);
/* NULL: it is not there. */
struct filter_subject *filter_subjects_find(const struct filter_subjects *subjects,
					    struct slice name);
/* One that is not there; `name` is copied. Lets a few go that have not been used for a while. */
struct filter_subject *filter_subjects_add(struct filter_subjects *subjects, struct slice name,
					   uint64_t now_ms);
/* One that is not queued; and the first that is, NULL: there is none. */
void filter_subjects_enqueue(struct filter_subjects *subjects, struct filter_subject *subject);
struct filter_subject *filter_subjects_dequeue(struct filter_subjects *subjects);
bool filter_subjects_is_in_use(const struct filter_subject *subject);
/* One that is not in use. */
void filter_subjects_free(struct filter_subjects *subjects, struct filter_subject *subject);

#endif
