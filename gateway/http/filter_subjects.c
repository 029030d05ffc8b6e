#include "http/filter_subjects_priv.h"

#include <assert.h>
#include <search.h>
#include <stdlib.h>

#include "base/mem.h"
#include "http/filter_set_priv.h"

/* So long one stays that nobody uses: until the request that asked has come back for it. */
enum { LINGER_MS = 10000 };

static int compare(const void *a, const void *b)
{
	struct slice left = *(const struct slice *)a, right = *(const struct slice *)b;
	size_t len = left.len < right.len ? left.len : right.len;
	int order = len ? memcmp(left.base, right.base, len) : 0;

	if (order || left.len == right.len)
		return order;
	return left.len < right.len ? -1 : 1;
}

struct filter_subject *filter_subjects_find(const struct filter_subjects *subjects,
					    struct slice name)
{
	void *found = tfind(&name, &subjects->tree, compare);

	return found ? *(struct filter_subject **)found : NULL;
}

bool filter_subjects_is_in_use(const struct filter_subject *subject)
{
	return subject->holds || subject->pins || subject->queued;
}

static void line_up(struct filter_subjects *subjects, struct filter_subject *subject)
{
	subject->newer = NULL;
	subject->older = subjects->newest;
	*(subjects->newest ? &subjects->newest->newer : &subjects->oldest) = subject;
	subjects->newest = subject;
}

static void leave_line(struct filter_subjects *subjects, struct filter_subject *subject)
{
	*(subject->newer ? &subject->newer->older : &subjects->newest) = subject->older;
	*(subject->older ? &subject->older->newer : &subjects->oldest) = subject->newer;
}

void filter_subjects_free(struct filter_subjects *subjects, struct filter_subject *subject)
{
	assert(!filter_subjects_is_in_use(subject));
	tdelete(subject, &subjects->tree, compare);
	leave_line(subjects, subject);
	filter_set_free(subject->set);
	free((char *)(uintptr_t)subject->name.base);
	free(subject);
}

void filter_subjects_enqueue(struct filter_subjects *subjects, struct filter_subject *subject)
{
	assert(!subject->queued);
	subject->queued = true;
	subject->next_queued = NULL;
	*(subjects->queue ? &subjects->queue_last->next_queued : &subjects->queue) = subject;
	subjects->queue_last = subject;
	subjects->queued++;
}

struct filter_subject *filter_subjects_dequeue(struct filter_subjects *subjects)
{
	struct filter_subject *first = subjects->queue;

	if (!first)
		return NULL;
	subjects->queue = first->next_queued;
	subjects->queued--;
	first->queued = false;
	return first;
}

void filter_subjects_fini(struct filter_subjects *subjects)
{
	while (subjects->newest)
		filter_subjects_free(subjects, subjects->newest);
}

/* Looks at more than one for each that comes; what stays goes to the end of the line. */
static void free_lingering(struct filter_subjects *subjects, uint64_t now_ms)
{
	enum { VISITS = 4 };

	for (int i = 0; i < VISITS && subjects->oldest; i++) {
		struct filter_subject *subject = subjects->oldest;

		if (!filter_subjects_is_in_use(subject) &&
		    now_ms - subject->free_since_ms >= LINGER_MS) {
			filter_subjects_free(subjects, subject);
			continue;
		}
		leave_line(subjects, subject);
		line_up(subjects, subject);
	}
}

struct filter_subject *filter_subjects_add(struct filter_subjects *subjects, struct slice name,
					   uint64_t now_ms)
{
	struct filter_subject *subject = MEM_NEW(struct filter_subject);

	free_lingering(subjects, now_ms);
	subject->name = (struct slice){mem_strndup(name.base, name.len), name.len};
	subject->free_since_ms = now_ms;
	line_up(subjects, subject);
	tsearch(subject, &subjects->tree, compare);
	return subject;
}
