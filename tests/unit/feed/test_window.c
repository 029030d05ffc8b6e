#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "feed/window.h"

struct fixture {
	struct epoch *epoch;
	struct window *window;
	struct position position;
	int reader;
};

static void open_window(struct fixture *f, uint64_t budget)
{
	f->epoch = epoch_new();
	f->reader = epoch_join(f->epoch);
	f->window = window_new(budget, 1, false, f->epoch);
	position_init(&f->position, 1);
}

static void close_window(struct fixture *f)
{
	window_free(f->window);
	epoch_leave(f->epoch, f->reader);
	epoch_free(f->epoch);
	position_fini(&f->position);
}

/* Appends the record (partition, offset) with a frame that says which it is. */
static void append(struct fixture *f, uint32_t partition, int64_t offset)
{
	char frame[64];
	int len = snprintf(frame, sizeof(frame), "%u:%lld\n\n", partition, (long long)offset);
	const struct window_entry entry = {
	    .partition = partition, .offset = offset, .arrived_us = 1};
	int64_t before = position_get(&f->position, 0, partition);

	position_set(&f->position, 0, partition, offset + 1);
	window_append(f->window, &entry, NULL, (struct slice){0},
		      (struct slice){frame, (size_t)len}, &f->position, before);
}

static uint64_t head_of(struct fixture *f, struct position *at_head)
{
	uint64_t version;

	position_init(at_head, 1);
	return window_head(f->window, at_head, &version);
}

/* What was appended but not published is not there for readers. */
static void test_window_append_is_invisible_until_published(void **state)
{
	struct fixture f;
	struct position at_head;

	(void)state;
	open_window(&f, 1 << 20);
	append(&f, 0, 0);
	assert_int_equal(head_of(&f, &at_head), 0);
	position_fini(&at_head);
	window_publish(f.window, &f.position);
	assert_int_equal(head_of(&f, &at_head), 1);
	assert_int_equal(position_get(&at_head, 0, 0), 1);
	position_fini(&at_head);
	close_window(&f);
}

/* Frames of one segment stand next to each other, so that a range of them is one write. */
static void test_window_frames_are_contiguous(void **state)
{
	struct fixture f;
	uint64_t end;

	(void)state;
	open_window(&f, 1 << 20);
	for (int64_t i = 0; i < 100; i++)
		append(&f, 0, i);
	window_publish(f.window, &f.position);
	const struct window_segment *segment = window_find(f.window, 0, &end);

	assert_non_null(segment);
	assert_int_equal(end, 100);
	for (uint64_t i = 1; i < 100; i++) {
		struct slice before = window_frame(segment, window_entry_at(segment, i - 1));
		struct slice frame = window_frame(segment, window_entry_at(segment, i));

		assert_ptr_equal(before.base + before.len, frame.base);
	}
	close_window(&f);
}

/* The budget holds, the oldest goes first, and what has gone is not found. */
static void test_window_over_budget_evicts_the_oldest(void **state)
{
	enum { BUDGET = 256 * 1024, EVENTS = 100000 };
	struct fixture f;
	uint64_t end;

	(void)state;
	open_window(&f, BUDGET);
	for (int64_t i = 0; i < EVENTS; i++) {
		append(&f, 0, i);
		if (i % 100 == 99) {
			window_publish(f.window, &f.position);
			epoch_quiesce(f.epoch, f.reader);
		}
	}
	assert_true(window_stats(f.window).bytes <= BUDGET);
	assert_true(window_tail(f.window) > 0);
	assert_null(window_find(f.window, window_tail(f.window) - 1, &end));
	for (uint64_t s = window_tail(f.window); s < EVENTS; s++) {
		const struct window_segment *segment = window_find(f.window, s, &end);

		assert_non_null(segment);
		assert_int_equal(window_entry_at(segment, s)->offset, s);
	}
	close_window(&f);
}

/* A frame that is larger than a segment gets one of its own. */
static void test_window_takes_a_frame_larger_than_a_segment(void **state)
{
	enum { LARGE = 1 << 20 };
	struct fixture f;
	char *large = malloc(LARGE);
	const struct window_entry entry = {.partition = 0, .offset = 0};
	uint64_t end;

	(void)state;
	memset(large, 'x', LARGE);
	open_window(&f, 64 * 1024);
	append(&f, 1, 0);
	window_append(f.window, &entry, NULL, (struct slice){0}, (struct slice){large, LARGE},
		      &f.position, 0);
	append(&f, 1, 1);
	window_publish(f.window, &f.position);
	const struct window_segment *segment = window_find(f.window, 2, &end);

	assert_non_null(segment);
	segment = window_find(f.window, 1, &end);
	if (segment)
		assert_int_equal(window_frame(segment, window_entry_at(segment, 1)).len, LARGE);
	free(large);
	close_window(&f);
}

struct seek_row {
	int64_t next[2]; /* of partitions 0 and 1 */
	bool found;
};

/* A position is served if nothing after it has left the window, whichever partition it is behind
 * in. */
static void test_window_seek_serves_what_it_still_holds(void **state)
{
	enum { EVENTS = 20000 };
	struct fixture f;
	struct position at_head, asked;
	uint64_t head, sequence = 0, end;

	(void)state;
	open_window(&f, 128 * 1024);
	for (int64_t i = 0; i < EVENTS; i++)
		append(&f, (uint32_t)(i % 2), i / 2);
	window_publish(f.window, &f.position);
	head = head_of(&f, &at_head);
	int64_t tail = (int64_t)window_tail(f.window) / 2;
	const struct seek_row rows[] = {
	    {{EVENTS / 2, EVENTS / 2}, true},
	    {{EVENTS / 2 - 1, EVENTS / 2}, true},
	    {{EVENTS / 2, tail + 10}, true},
	    {{tail + 10, tail + 10}, true},
	    {{tail - 10, EVENTS / 2}, false},
	    {{EVENTS / 2, tail - 10}, false},
	    {{0, 0}, false},
	    {{EVENTS, EVENTS}, true},
	};

	position_init(&asked, 1);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		position_set(&asked, 0, 0, rows[i].next[0]);
		position_set(&asked, 0, 1, rows[i].next[1]);
		assert_int_equal(window_seek(f.window, &asked, head, &at_head, &sequence),
				 rows[i].found);
		for (uint64_t s = window_tail(f.window); rows[i].found && s < sequence; s++) {
			const struct window_segment *segment = window_find(f.window, s, &end);
			const struct window_entry *entry = window_entry_at(segment, s);

			assert_true(entry->offset < rows[i].next[entry->partition]);
		}
	}
	position_fini(&asked);
	position_fini(&at_head);
	close_window(&f);
}

/* A topic made anew: nothing old is found, and what comes is. */
static void test_window_reset_forgets_what_was_before(void **state)
{
	struct fixture f;
	uint64_t end;

	(void)state;
	open_window(&f, 1 << 20);
	for (int64_t i = 0; i < 10; i++)
		append(&f, 0, i);
	window_publish(f.window, &f.position);
	window_reset(f.window);
	assert_int_equal(window_tail(f.window), 10);
	assert_null(window_find(f.window, 9, &end));
	append(&f, 0, 0);
	window_publish(f.window, &f.position);
	assert_non_null(window_find(f.window, 10, &end));
	close_window(&f);
}

struct shared {
	struct fixture f;
	_Atomic bool done;
};

/* Reads to the head over and over; what it sees must be whole. */
static void *read_along(void *context)
{
	struct shared *shared = context;
	struct window *window = shared->f.window;
	struct position at_head;
	uint64_t sequence = 0, version, *seen = malloc(sizeof(*seen));
	int reader = epoch_join(shared->f.epoch);
	bool last;

	*seen = 0;
	position_init(&at_head, 1);
	do {
		last = shared->done;
		uint64_t head = window_head(window, &at_head, &version), end;

		while (sequence < head) {
			const struct window_segment *segment = window_find(window, sequence, &end);

			if (!segment) {
				sequence++;
				continue;
			}
			for (; sequence < end && sequence < head; sequence++, ++*seen) {
				const struct window_entry *entry =
				    window_entry_at(segment, sequence);
				char expected[64];

				snprintf(expected, sizeof(expected), "%u:%lld\n\n",
					 entry->partition, (long long)entry->offset);
				if (!slice_equal(window_frame(segment, entry), slice_of(expected)))
					abort();
			}
		}
		epoch_quiesce(shared->f.epoch, reader);
	} while (!last);
	position_fini(&at_head);
	epoch_leave(shared->f.epoch, reader);
	return seen;
}

/* Readers on threads of their own never see a torn or freed entry, while the writer evicts. */
static void test_window_concurrent_readers_see_whole_entries(void **state)
{
	enum { EVENTS = 50000, READERS = 2 };
	static struct shared shared;
	pthread_t readers[READERS];

	(void)state;
	open_window(&shared.f, 64 * 1024);
	for (int i = 0; i < READERS; i++)
		pthread_create(&readers[i], NULL, read_along, &shared);
	for (int64_t i = 0; i < EVENTS; i++) {
		append(&shared.f, (uint32_t)(i % 3), i / 3);
		if (i % 7 == 0)
			window_publish(shared.f.window, &shared.f.position);
		epoch_quiesce(shared.f.epoch, shared.f.reader);
	}
	window_publish(shared.f.window, &shared.f.position);
	shared.done = true;
	for (int i = 0; i < READERS; i++) {
		uint64_t *seen;

		pthread_join(readers[i], (void **)&seen);
		assert_true(*seen > 0);
		free(seen);
	}
	close_window(&shared.f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_window_append_is_invisible_until_published),
	    cmocka_unit_test(test_window_frames_are_contiguous),
	    cmocka_unit_test(test_window_over_budget_evicts_the_oldest),
	    cmocka_unit_test(test_window_takes_a_frame_larger_than_a_segment),
	    cmocka_unit_test(test_window_seek_serves_what_it_still_holds),
	    cmocka_unit_test(test_window_reset_forgets_what_was_before),
	    cmocka_unit_test(test_window_concurrent_readers_see_whole_entries),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
