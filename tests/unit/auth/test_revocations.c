#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "auth/revocations_priv.h"

enum { REVOKED_US = 5000000, EXPIRES_US = 9000000, NOW_US = 6000000 };

static struct revocations *revocations;

static int make(void **state)
{
	(void)state;
	revocations = revocations_new();
	return 0;
}

static int drop(void **state)
{
	(void)state;
	revocations_free(revocations);
	return 0;
}

static bool revoke(enum tokens_kind kind, struct slice value)
{
	return revocations_set(revocations,
			       &(struct tokens_revocation){kind, value, REVOKED_US, EXPIRES_US});
}

static uint64_t jti(const char *value)
{
	return revocations_hash(revocations, TOKENS_JTI, slice_of(value));
}

static uint64_t subject(const char *value)
{
	return revocations_hash(revocations, TOKENS_SUBJECT, slice_of(value));
}

/* A jti is revoked whenever it was issued; a subject for what was issued until then. */
static void test_revocations_hold_for_their_kind_and_time(void **state)
{
	const struct {
		uint64_t jti, subject;
		int64_t issued_us, now_us;
		bool held;
	} rows[] = {
	    {jti("j"), REVOCATIONS_NO_HASH, NOW_US, NOW_US, true},
	    {jti("j"), subject("other"), INT64_MIN, NOW_US, true},
	    {jti("j"), REVOCATIONS_NO_HASH, 0, EXPIRES_US - 1, true},
	    {jti("j"), REVOCATIONS_NO_HASH, 0, EXPIRES_US, false},
	    {jti("k"), subject("j"), 0, NOW_US, false},
	    {REVOCATIONS_NO_HASH, REVOCATIONS_NO_HASH, INT64_MIN, NOW_US, false},
	    {jti("s"), subject("other"), 0, NOW_US, false},
	    {REVOCATIONS_NO_HASH, subject("s"), INT64_MIN, NOW_US, true},
	    {REVOCATIONS_NO_HASH, subject("s"), REVOKED_US - 1, NOW_US, true},
	    {REVOCATIONS_NO_HASH, subject("s"), REVOKED_US, NOW_US, true},
	    {REVOCATIONS_NO_HASH, subject("s"), REVOKED_US + 1, NOW_US, false},
	    {REVOCATIONS_NO_HASH, subject("s"), 0, EXPIRES_US, false},
	};

	(void)state;
	assert_true(revoke(TOKENS_JTI, SLICE_LIT("j")));
	assert_true(revoke(TOKENS_SUBJECT, SLICE_LIT("s")));
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(revocations_hold(revocations, rows[i].jti, rows[i].subject,
						  rows[i].issued_us, rows[i].now_us),
				 rows[i].held);
}

/* Names are compared to their last byte. */
static void test_revocations_names_are_exact(void **state)
{
	static const struct slice others[] = {
	    SLICE_LIT(""),      SLICE_LIT("a"),    SLICE_LIT("a\0"),    SLICE_LIT("a\0c"),
	    SLICE_LIT("a\0b "), SLICE_LIT("A\0b"), SLICE_LIT("a\0b\0"), SLICE_LIT("\xff\xfe"),
	};

	(void)state;
	revoke(TOKENS_JTI, SLICE_LIT("a\0b"));
	assert_true(revocations_hold(
	    revocations, revocations_hash(revocations, TOKENS_JTI, SLICE_LIT("a\0b")), 0, 0, 0));
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		assert_false(revocations_hold(
		    revocations, revocations_hash(revocations, TOKENS_JTI, others[i]), 0, 0, 0));
}

/* Only what says more than before may end a stream; what was taken back holds no more. */
static void test_revocations_changes_are_told_from_repeats(void **state)
{
	struct tokens_revocation revocation = {TOKENS_SUBJECT, SLICE_LIT("s"), REVOKED_US,
					       EXPIRES_US};

	(void)state;
	assert_true(revocations_set(revocations, &revocation));
	assert_false(revocations_set(revocations, &revocation));
	revocation.expires_us--;
	assert_false(revocations_set(revocations, &revocation));
	revocation.revoked_us++;
	assert_true(revocations_set(revocations, &revocation));
	revocation.expires_us++;
	assert_true(revocations_set(revocations, &revocation));
	assert_int_equal(revocations_count(revocations), 1);
	revocations_remove(revocations, TOKENS_JTI, SLICE_LIT("s"));
	assert_int_equal(revocations_count(revocations), 1);
	revocations_remove(revocations, TOKENS_SUBJECT, SLICE_LIT("s"));
	assert_int_equal(revocations_count(revocations), 0);
	assert_false(revocations_hold(revocations, 0, subject("s"), 0, NOW_US));
}

/* A newer set takes the place of the old one, and hashes that streams keep go on to fit. */
static void test_revocations_replaced_keep_their_hashes(void **state)
{
	struct revocations *newer = revocations_new_like(revocations),
			   *stranger = revocations_new();
	const struct tokens_revocation kept = {TOKENS_JTI, SLICE_LIT("new"), REVOKED_US,
					       EXPIRES_US};
	uint64_t old = jti("old"), young = jti("new");

	(void)state;
	revoke(TOKENS_JTI, SLICE_LIT("old"));
	revocations_set(newer, &kept);
	revocations_replace(revocations, newer);
	assert_false(revocations_hold(revocations, old, 0, 0, NOW_US));
	assert_true(revocations_hold(revocations, young, 0, 0, NOW_US));
	assert_int_not_equal(revocations_hash(stranger, TOKENS_JTI, SLICE_LIT("new")), young);
	revocations_free(stranger);
}

/* Of many, each is found, and none that was removed. */
static void test_revocations_many_are_each_found(void **state)
{
	char name[16];

	(void)state;
	for (int i = 0; i < 5000; i++) {
		snprintf(name, sizeof(name), "%d", i);
		revoke(i % 2 ? TOKENS_JTI : TOKENS_SUBJECT, slice_of(name));
	}
	for (int i = 0; i < 5000; i += 5) {
		snprintf(name, sizeof(name), "%d", i);
		revocations_remove(revocations, i % 2 ? TOKENS_JTI : TOKENS_SUBJECT,
				   slice_of(name));
	}
	assert_int_equal(revocations_count(revocations), 4000);
	for (int i = 0; i < 5000; i++) {
		snprintf(name, sizeof(name), "%d", i);
		assert_int_equal(revocations_hold(revocations, i % 2 ? jti(name) : 0,
						  i % 2 ? 0 : subject(name), 0, NOW_US),
				 i % 5 != 0);
	}
}

int main(void)
{
#define FRESH(test) cmocka_unit_test_setup_teardown(test, make, drop)
	const struct CMUnitTest tests[] = {
	    FRESH(test_revocations_hold_for_their_kind_and_time),
	    FRESH(test_revocations_names_are_exact),
	    FRESH(test_revocations_changes_are_told_from_repeats),
	    FRESH(test_revocations_replaced_keep_their_hashes),
	    FRESH(test_revocations_many_are_each_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
