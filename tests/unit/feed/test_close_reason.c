#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "feed/close_reason.h"

/* "Why a stream ended" in the README has the rows of the table, in its order. */
static void test_close_reason_each_is_in_the_readme(void **state)
{
	static const char rows[] = "| reason | |\n| --- | --- |\n"
#define CLOSE_ROW(symbol, label, level, text) "| `" label "` | " text " |\n"
	    CLOSE_REASONS(CLOSE_ROW)
#undef CLOSE_ROW
		"\n";
	char *readme = NULL;
	size_t bytes = 0;
	FILE *file = fopen("README.md", "r");

	(void)state;
	assert_non_null(file);
	assert_true(getdelim(&readme, &bytes, '\0', file) > 0);
	fclose(file);
	if (!strstr(readme, rows))
		fail_msg("README.md lacks, under \"Why a stream ended\":\n%s", rows);
	free(readme);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_close_reason_each_is_in_the_readme),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
