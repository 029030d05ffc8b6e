/*
 * loop: an event loop for each test: what a failed one left open ends with it.
 */
#ifndef SLUICE_TESTS_LIB_LOOP_H
#define SLUICE_TESTS_LIB_LOOP_H

#include "lib/sse_client.h"

extern struct sse_client_loop *loop; /* of the test that runs */

/* A test's setup and teardown; `state` is left alone. */
int loop_open(void **state);
int loop_close(void **state);

#define LOOP_TEST(name) cmocka_unit_test_setup_teardown(name, loop_open, loop_close)

#endif
