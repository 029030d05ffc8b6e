#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "feed/index_priv.h"

enum { NODES = 5000 };

/* Node i's key is i's text, its hash a number with few bits, so that chains are long. */
static void fill(struct index *index, struct index_node *nodes, char (*keys)[8])
{
	for (int i = 0; i < NODES; i++) {
		int len = snprintf(keys[i], sizeof(keys[i]), "%d", i % (NODES / 2));

		nodes[i] = (struct index_node){.hash = (uint64_t)(i % (NODES / 2)) % 977,
					       .key = {keys[i], (size_t)len}};
		index_add(index, &nodes[i]);
	}
}

static int count(const struct index *index, uint64_t hash, const char *key)
{
	struct index_node *node = index_first(index, hash, slice_of(key));
	int n = 0;

	for (; node; node = index_next(node, hash, slice_of(key)))
		n++;
	return n;
}

/* Every node is found under its key and no other, also where hashes are equal. */
static void test_index_find_gives_all_nodes_of_the_key_alone(void **state)
{
	static struct index_node nodes[NODES];
	static char keys[NODES][8];
	struct index index = {0};

	(void)state;
	fill(&index, nodes, keys);
	for (int i = 0; i < NODES / 2; i++)
		assert_int_equal(count(&index, nodes[i].hash, keys[i]), 2);
	assert_int_equal(count(&index, nodes[1].hash, "no such key"), 0);
	assert_int_equal(count(&index, 978, keys[1]), 0);
	for (int i = 0; i < NODES; i++)
		index_remove(&index, &nodes[i]);
	index_fini(&index);
}

/* What is removed is not found any more, and what stays is. */
static void test_index_remove_leaves_the_others(void **state)
{
	static struct index_node nodes[NODES];
	static char keys[NODES][8];
	struct index index = {0};

	(void)state;
	fill(&index, nodes, keys);
	for (int i = 0; i < NODES / 2; i++)
		index_remove(&index, &nodes[i]);
	for (int i = 0; i < NODES / 2; i++)
		assert_ptr_equal(index_first(&index, nodes[i].hash, nodes[i].key),
				 &nodes[i + NODES / 2]);
	for (int i = NODES / 2; i < NODES; i++)
		index_remove(&index, &nodes[i]);
	assert_int_equal(index.node_count, 0);
	index_fini(&index);
}

/* An index that never had a node finds nothing. */
static void test_index_empty_finds_nothing(void **state)
{
	struct index index = {0};

	(void)state;
	assert_null(index_first(&index, 1, SLICE_LIT("a")));
	index_fini(&index);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_index_find_gives_all_nodes_of_the_key_alone),
	    cmocka_unit_test(test_index_remove_leaves_the_others),
	    cmocka_unit_test(test_index_empty_finds_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
