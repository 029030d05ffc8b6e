#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "event/pattern.h"
#include "feed/key_sketch_priv.h"

static uint64_t hash_of(uint32_t number)
{
	return route_key_hash((struct slice){(const char *)&number, sizeof(number)});
}

/* What was added is always told, whatever the size; of what was not, nearly nothing. */
static void test_key_sketch_tells_what_was_added(void **state)
{
	static const uint32_t sizes[] = {1, 7, 8, 128, 4096};

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct key_sketch *sketch = key_sketch_new(sizes[i]);
		uint32_t wrong = 0;

		for (uint32_t n = 0; n < sizes[i]; n++)
			key_sketch_add(sketch, hash_of(n));
		for (uint32_t n = 0; n < sizes[i]; n++)
			assert_true(key_sketch_may_have(sketch, hash_of(n)));
		for (uint32_t n = 0; n < 1000; n++)
			wrong += key_sketch_may_have(sketch, hash_of(1000000 + n));
		assert_true(wrong < 150);
		free(sketch);
	}
}

/* An empty one has nothing; one that has something for everybody says yes to all. */
static void test_key_sketch_knows_what_is_for_all(void **state)
{
	struct key_sketch *sketch = key_sketch_new(100);

	(void)state;
	assert_false(key_sketch_may_have(sketch, hash_of(1)));
	key_sketch_add_all(sketch);
	assert_true(key_sketch_may_have(sketch, hash_of(1)));
	free(sketch);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_key_sketch_tells_what_was_added),
	    cmocka_unit_test(test_key_sketch_knows_what_is_for_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
