#include "event/pattern_constants_priv.h"

#include <stdlib.h>

#include "base/mem.h"

void pattern_constants_add(struct pattern_constants *constants, const struct pattern_value *value)
{
	size_t count = constants->count;
	struct pattern_constant *added;

	/* It doubles: full at 0, 1, 2, 4 … */
	if ((count & (count - 1)) == 0)
		constants->items = mem_realloc(constants->items, (count ? 2 * count : 1) *
								     sizeof(constants->items[0]));
	added = &constants->items[constants->count++];
	*added = (struct pattern_constant){.value = *value};
	if (value->kind == PATTERN_VALUE_STRING && value->text.len) {
		added->text = mem_strndup(value->text.base, value->text.len);
		added->value.text.base = added->text;
	}
}

static int compare(const void *a, const void *b)
{
	return pattern_value_compare(&((const struct pattern_constant *)a)->value,
				     &((const struct pattern_constant *)b)->value);
}

void pattern_constants_sort(struct pattern_constants *constants)
{
	if (constants->count)
		qsort(constants->items, constants->count, sizeof(constants->items[0]), compare);
}

static int compare_wanted(const void *wanted, const void *constant)
{
	return pattern_value_compare(wanted, &((const struct pattern_constant *)constant)->value);
}

bool pattern_constants_hold(const struct pattern_constants *constants,
			    const struct pattern_value *value)
{
	return constants->count && bsearch(value, constants->items, constants->count,
					   sizeof(constants->items[0]), compare_wanted);
}

void pattern_constants_fini(struct pattern_constants *constants)
{
	for (size_t i = 0; i < constants->count; i++)
		free(constants->items[i].text);
	free(constants->items);
}
