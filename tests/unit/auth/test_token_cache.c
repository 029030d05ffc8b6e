#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "auth/token_cache_priv.h"
#include "base/clock.h"
#include "base/log.h"

enum { NOW_US = 1000000, SUBJECT = 77, MAX_TAKEN = 64 };

static const struct token_cache_limits limits = {
    .known = 4,
    .refused = 4,
    .wanted = 8,
    .refused_ms = 100,
    .failed_ms = 10,
    .refusals_a_second = 10,
    .refusals_at_once = 20,
};

static struct token_cache *cache;
static uint64_t now_ms;

static int make(void **state)
{
	(void)state;
	log_set_level(LOG_ERROR);
	cache = token_cache_new(&limits);
	now_ms = 5000;
	return 0;
}

static int drop(void **state)
{
	(void)state;
	token_cache_free(cache);
	return 0;
}

static const uint8_t *digest_of(int number)
{
	static uint8_t digest[TOKENS_SHA256_BYTES];

	memcpy(digest, &number, sizeof(number));
	return digest;
}

static struct tokens_row row_of(int number)
{
	return (struct tokens_row){
	    .id = number,
	    .sha256 = {(const char *)digest_of(number), TOKENS_SHA256_BYTES},
	    .subject = SLICE_LIT("ada"),
	    .claims = SLICE_LIT("{\"role\": \"admin\"}"),
	    .created_us = 500,
	    .expires_us = TOKENS_NEVER,
	    .revoked_us = TOKENS_NEVER,
	};
}

/* The holder of a good token goes to *holder, or back where that is NULL. */
static int verify(int number, struct auth_holder **holder)
{
	struct token_grant grant;
	const char *reason = NULL;
	bool run;
	int rc =
	    token_cache_verify(cache, digest_of(number), now_ms, NOW_US, &grant, &run, &reason);

	if (rc) {
		assert_non_null(reason);
		return rc;
	}
	free(grant.claims);
	if (holder)
		*holder = grant.holder;
	else
		token_cache_release(grant.holder);
	return 0;
}

static size_t take(void)
{
	uint8_t taken[MAX_TAKEN * TOKENS_SHA256_BYTES];

	return token_cache_take(cache, taken, MAX_TAKEN);
}

static void put(const struct tokens_row *row)
{
	token_cache_put(cache, row, SUBJECT, now_ms);
}

/* Asks about all that are wanted: what the row says is there, and nothing else. */
static void look_up(const struct tokens_row *row)
{
	take();
	if (row)
		put(row);
	token_cache_end(cache, false, now_ms);
	assert_int_equal(take(), 0);
}

static void learn(int number)
{
	const struct tokens_row row = row_of(number);

	assert_int_equal(verify(number, NULL), ERROR_PENDING);
	look_up(&row);
	assert_int_equal(verify(number, NULL), 0);
}

/* The first one who asks is told to see to the look-up, and the answer serves everybody. */
static void test_token_cache_unknown_token_is_looked_up_once(void **state)
{
	const struct tokens_row row = row_of(1);
	struct token_grant grant;
	const char *reason;
	bool run;

	(void)state;
	assert_int_equal(
	    token_cache_verify(cache, digest_of(1), now_ms, NOW_US, &grant, &run, &reason),
	    ERROR_PENDING);
	assert_true(run);
	assert_int_equal(
	    token_cache_verify(cache, digest_of(1), now_ms, NOW_US, &grant, &run, &reason),
	    ERROR_PENDING);
	assert_false(run);
	assert_int_equal(
	    token_cache_verify(cache, digest_of(2), now_ms, NOW_US, &grant, &run, &reason),
	    ERROR_PENDING);
	assert_false(run);
	assert_int_equal(take(), 2);
	assert_int_equal(verify(1, NULL), ERROR_PENDING);
	put(&row);
	token_cache_end(cache, false, now_ms);
	assert_int_equal(take(), 0);
	assert_int_equal(
	    token_cache_verify(cache, digest_of(1), now_ms, NOW_US, &grant, &run, &reason), 0);
	assert_string_equal(grant.claims, "{\"role\":\"admin\",\"sub\":\"ada\"}");
	assert_true(grant.holder->subject == SUBJECT && grant.holder->issued_us == 500);
	free(grant.claims);
	token_cache_release(grant.holder);
	assert_int_equal(verify(2, NULL), ERROR_INVALID);
	/* The runner has gone: the next one starts another. */
	assert_int_equal(
	    token_cache_verify(cache, digest_of(3), now_ms, NOW_US, &grant, &run, &reason),
	    ERROR_PENDING);
	assert_true(run);
}

/* What a row must be for its token to count. */
static void test_token_cache_rows_are_judged(void **state)
{
	static const struct {
		const char *what;
		struct slice subject, claims;
		int64_t expires_us, revoked_us;
		int code;
	} rows[] = {
	    {"good", SLICE_LIT("s"), SLICE_LIT("{}"), TOKENS_NEVER, TOKENS_NEVER, 0},
	    {"sub is the subject's", SLICE_LIT("s"), SLICE_LIT("{\"sub\": 1}"), TOKENS_NEVER,
	     TOKENS_NEVER, 0},
	    {"ends later", SLICE_LIT("s"), SLICE_LIT("{}"), NOW_US + 1, TOKENS_NEVER, 0},
	    {"has ended", SLICE_LIT("s"), SLICE_LIT("{}"), NOW_US, TOKENS_NEVER, ERROR_EXPIRED},
	    {"revoked", SLICE_LIT("s"), SLICE_LIT("{}"), TOKENS_NEVER, NOW_US, ERROR_INVALID},
	    {"revoked in the future", SLICE_LIT("s"), SLICE_LIT("{}"), TOKENS_NEVER, NOW_US * 9,
	     ERROR_INVALID},
	    {"claims too long",
	     SLICE_LIT("s"),
	     {NULL, 0},
	     TOKENS_NEVER,
	     TOKENS_NEVER,
	     ERROR_INVALID},
	    {"claims no object", SLICE_LIT("s"), SLICE_LIT("[]"), TOKENS_NEVER, TOKENS_NEVER,
	     ERROR_INVALID},
	    {"a number beyond all", SLICE_LIT("s"), SLICE_LIT("{\"n\": 1e999}"), TOKENS_NEVER,
	     TOKENS_NEVER, ERROR_INVALID},
	    {"an integer beyond 64 bits", SLICE_LIT("s"),
	     SLICE_LIT("{\"n\": 123456789012345678901234567890}"), TOKENS_NEVER, TOKENS_NEVER,
	     ERROR_INVALID},
	    {"a subject that is no UTF-8", SLICE_LIT("\xc3("), SLICE_LIT("{}"), TOKENS_NEVER,
	     TOKENS_NEVER, ERROR_INVALID},
	    {"a subject with CR LF", SLICE_LIT("a\r\nb"), SLICE_LIT("{}"), TOKENS_NEVER,
	     TOKENS_NEVER, 0},
	};

	(void)state;
	for (int i = 0; i < (int)(sizeof(rows) / sizeof(rows[0])); i++) {
		struct tokens_row row = row_of(i);

		print_message("%s\n", rows[i].what);
		row.subject = rows[i].subject;
		row.claims = rows[i].claims;
		row.expires_us = rows[i].expires_us;
		row.revoked_us = rows[i].revoked_us;
		assert_int_equal(verify(i, NULL), ERROR_PENDING);
		look_up(&row);
		assert_int_equal(verify(i, NULL), rows[i].code);
	}
}

/* A refusal is remembered for a while, and then asked about again. */
static void test_token_cache_refusal_is_forgotten(void **state)
{
	(void)state;
	assert_int_equal(verify(1, NULL), ERROR_PENDING);
	look_up(NULL);
	now_ms += limits.refused_ms - 1;
	assert_int_equal(verify(1, NULL), ERROR_INVALID);
	now_ms++;
	assert_int_equal(verify(1, NULL), ERROR_PENDING);
}

/* What could not be looked up is no refusal, is not asked about at once again, and known tokens go
 * on to count. */
static void test_token_cache_failure_is_no_refusal(void **state)
{
	(void)state;
	learn(1);
	assert_int_equal(verify(2, NULL), ERROR_PENDING);
	take();
	token_cache_end(cache, true, now_ms);
	assert_int_equal(verify(2, NULL), ERROR_UNAVAILABLE);
	assert_int_equal(verify(1, NULL), 0);
	now_ms += limits.failed_ms;
	assert_int_equal(verify(2, NULL), ERROR_PENDING);
}

/* Of the known tokens the one that was not used for the longest time goes, but for those that are
 * held. */
static void test_token_cache_least_recently_used_goes(void **state)
{
	struct auth_holder *held;

	(void)state;
	for (int i = 0; i < 4; i++)
		learn(i);
	assert_int_equal(verify(1, &held), 0);
	assert_int_equal(verify(0, NULL), 0);
	learn(4);
	learn(5);
	assert_int_equal(token_cache_count(cache), 5);
	assert_int_equal(verify(0, NULL), 0);
	assert_int_equal(verify(1, NULL), 0);
	assert_int_equal(verify(2, NULL), ERROR_PENDING);
	token_cache_release(held);
	assert_int_equal(token_cache_count(cache), 4);
	assert_int_equal(verify(1, NULL), 0);
	assert_int_equal(verify(3, NULL), ERROR_PENDING);
}

/* Made-up tokens fill neither the memory nor the queue, and push no known one out. */
static void test_token_cache_made_up_tokens_are_bounded(void **state)
{
	int pending = 0;

	(void)state;
	learn(0);
	for (int i = 1; i <= 100; i++)
		pending += verify(i, NULL) == ERROR_PENDING;
	assert_int_equal(pending, limits.wanted);
	assert_int_equal(verify(200, NULL), ERROR_LIMIT);
	assert_int_equal(take(), limits.wanted);
	token_cache_end(cache, false, now_ms);
	assert_int_equal(take(), 0);
	/* Only the last of the refusals are remembered. */
	for (int i = 1; i <= (int)limits.wanted; i++)
		assert_int_equal(verify(i, NULL), i <= (int)(limits.wanted - limits.refused)
						      ? ERROR_PENDING
						      : ERROR_INVALID);
	assert_int_equal(verify(0, NULL), 0);
}

/* PostgreSQL is asked about so many made-up tokens at once, and so many a second. */
static void test_token_cache_refusals_are_limited_by_rate(void **state)
{
	int asked = 0, next = 1;

	(void)state;
	for (int i = 0; i < 100; i++) {
		asked += verify(next++, NULL) == ERROR_PENDING;
		look_up(NULL);
	}
	assert_int_equal(asked, limits.refusals_at_once);
	assert_int_equal(verify(next, NULL), ERROR_LIMIT);
	now_ms += 1000;
	asked = 0;
	for (int i = 0; i < 100; i++) {
		asked += verify(next++, NULL) == ERROR_PENDING;
		look_up(NULL);
	}
	assert_int_equal(asked, limits.refusals_a_second);
	/* A rest of a day saves no more than the most. */
	now_ms += 86400000;
	asked = 0;
	for (int i = 0; i < 100; i++) {
		asked += verify(next++, NULL) == ERROR_PENDING;
		look_up(NULL);
	}
	assert_int_equal(asked, limits.refusals_at_once);
}

/* Good tokens are looked up at any rate. */
static void test_token_cache_good_tokens_are_not_limited(void **state)
{
	(void)state;
	for (int i = 0; i < 1000; i++)
		learn(i);
}

/* A holder loses its token when the row changes in what was granted, and only then. */
static void test_token_cache_changed_row_is_lost(void **state)
{
	static const struct {
		const char *what;
		int64_t expires_us, revoked_us, created_us;
		struct slice claims;
		uint64_t subject;
		bool lost;
	} rows[] = {
	    {"the same", TOKENS_NEVER, TOKENS_NEVER, 500, SLICE_LIT("{\"role\": \"admin\"}"),
	     SUBJECT, false},
	    {"revoked", TOKENS_NEVER, NOW_US, 500, SLICE_LIT("{\"role\": \"admin\"}"), SUBJECT,
	     true},
	    {"shortened", NOW_US * 2, TOKENS_NEVER, 500, SLICE_LIT("{\"role\": \"admin\"}"),
	     SUBJECT, true},
	    {"made again", TOKENS_NEVER, TOKENS_NEVER, 501, SLICE_LIT("{\"role\": \"admin\"}"),
	     SUBJECT, true},
	    {"other claims", TOKENS_NEVER, TOKENS_NEVER, 500, SLICE_LIT("{\"role\": \"user\"}"),
	     SUBJECT, true},
	    {"claims that cannot be read",
	     TOKENS_NEVER,
	     TOKENS_NEVER,
	     500,
	     {NULL, 0},
	     SUBJECT,
	     true},
	    {"another subject", TOKENS_NEVER, TOKENS_NEVER, 500, SLICE_LIT("{\"role\": \"admin\"}"),
	     SUBJECT + 1, true},
	};

	(void)state;
	for (int i = 0; i < (int)(sizeof(rows) / sizeof(rows[0])); i++) {
		struct tokens_row row = row_of(i);
		struct auth_holder *first, *second;

		print_message("%s\n", rows[i].what);
		learn(i);
		assert_int_equal(verify(i, &first), 0);
		assert_int_equal(verify(i, &second), 0);
		row = row_of(i);
		row.expires_us = rows[i].expires_us;
		row.revoked_us = rows[i].revoked_us;
		row.created_us = rows[i].created_us;
		row.claims = rows[i].claims;
		assert_true(token_cache_touch(cache, digest_of(i)));
		assert_int_equal(token_cache_refresh(cache, digest_of(i), &row, rows[i].subject),
				 rows[i].lost);
		assert_int_equal(token_cache_has_lost(first), rows[i].lost);
		assert_int_equal(token_cache_has_lost(second), rows[i].lost);
		/* What is lost is looked up anew by the next one. */
		assert_int_equal(verify(i, NULL), rows[i].lost ? ERROR_PENDING : 0);
		look_up(NULL);
		token_cache_release(first);
		token_cache_release(second);
	}
}

/* A row that is gone takes the token with it, held or not. */
static void test_token_cache_removed_row_is_lost(void **state)
{
	struct auth_holder *held;

	(void)state;
	learn(1);
	learn(2);
	assert_int_equal(verify(1, &held), 0);
	assert_true(token_cache_refresh(cache, digest_of(1), NULL, 0));
	assert_true(token_cache_refresh(cache, digest_of(2), NULL, 0));
	assert_false(token_cache_refresh(cache, digest_of(3), NULL, 0));
	assert_true(token_cache_has_lost(held));
	assert_int_equal(verify(2, NULL), ERROR_PENDING);
	token_cache_release(held);
	assert_int_equal(token_cache_count(cache), 0);
}

/* A change that comes while the token is being asked about: the answer may be older than it, so it
 * is asked about again. */
static void test_token_cache_change_during_look_up_asks_again(void **state)
{
	const struct tokens_row row = row_of(1);

	(void)state;
	assert_int_equal(verify(1, NULL), ERROR_PENDING);
	assert_int_equal(take(), 1);
	assert_false(token_cache_touch(cache, digest_of(1)));
	put(&row);
	token_cache_end(cache, false, now_ms);
	assert_int_equal(verify(1, NULL), ERROR_PENDING);
	assert_int_equal(take(), 1);
	put(&row);
	token_cache_end(cache, false, now_ms);
	assert_int_equal(verify(1, NULL), 0);
}

/* A token that is made after it was refused counts at once. */
static void test_token_cache_change_forgets_a_refusal(void **state)
{
	(void)state;
	assert_int_equal(verify(1, NULL), ERROR_PENDING);
	look_up(NULL);
	assert_int_equal(verify(1, NULL), ERROR_INVALID);
	assert_false(token_cache_touch(cache, digest_of(1)));
	assert_int_equal(verify(1, NULL), ERROR_PENDING);
}

/* After a loss of the connection every known token is looked at again, and nothing else is
 * believed. */
static void test_token_cache_touch_all_gives_what_is_known(void **state)
{
	struct auth_holder *held;
	uint8_t *digests;
	size_t count;

	(void)state;
	learn(1);
	learn(2);
	assert_int_equal(verify(1, &held), 0);
	assert_int_equal(verify(3, NULL), ERROR_PENDING);
	look_up(NULL);
	assert_int_equal(verify(4, NULL), ERROR_PENDING);
	assert_int_equal(take(), 1);
	digests = token_cache_touch_all(cache, &count);
	assert_int_equal(count, 2);
	for (size_t i = 0; i < count; i++)
		assert_true(digests[i * TOKENS_SHA256_BYTES] == 1 ||
			    digests[i * TOKENS_SHA256_BYTES] == 2);
	free(digests);
	assert_int_equal(verify(3, NULL), ERROR_PENDING);
	token_cache_end(cache, false, now_ms);
	assert_int_equal(verify(4, NULL), ERROR_PENDING);
	token_cache_release(held);
}

/* A known token that ends while it is known counts no more. */
static void test_token_cache_known_token_expires(void **state)
{
	struct tokens_row row = row_of(1);
	struct token_grant grant;
	const char *reason;
	bool run;

	(void)state;
	row.expires_us = NOW_US + 10;
	assert_int_equal(verify(1, NULL), ERROR_PENDING);
	look_up(&row);
	assert_int_equal(verify(1, NULL), 0);
	assert_int_equal(
	    token_cache_verify(cache, digest_of(1), now_ms, NOW_US + 10, &grant, &run, &reason),
	    ERROR_EXPIRED);
	assert_string_equal(reason, "the token has expired");
}

int main(void)
{
#define FRESH(test) cmocka_unit_test_setup_teardown(test, make, drop)
	const struct CMUnitTest tests[] = {
	    FRESH(test_token_cache_unknown_token_is_looked_up_once),
	    FRESH(test_token_cache_rows_are_judged),
	    FRESH(test_token_cache_refusal_is_forgotten),
	    FRESH(test_token_cache_failure_is_no_refusal),
	    FRESH(test_token_cache_least_recently_used_goes),
	    FRESH(test_token_cache_made_up_tokens_are_bounded),
	    FRESH(test_token_cache_refusals_are_limited_by_rate),
	    FRESH(test_token_cache_good_tokens_are_not_limited),
	    FRESH(test_token_cache_changed_row_is_lost),
	    FRESH(test_token_cache_removed_row_is_lost),
	    FRESH(test_token_cache_change_during_look_up_asks_again),
	    FRESH(test_token_cache_change_forgets_a_refusal),
	    FRESH(test_token_cache_touch_all_gives_what_is_known),
	    FRESH(test_token_cache_known_token_expires),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
