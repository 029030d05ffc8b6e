/* pattern_operator_holds(): what each operator says of a value. */
#include <arpa/inet.h>

#include "event/pattern_case_priv.h"
#include "event/pattern_operator_priv.h"
#include "event/pattern_weight_priv.h"

/* Of an operator that reads `len` bytes of a text, beside the one for each operator. */
static void take_text_steps(size_t len)
{
	pattern_steps += PATTERN_STEPS_TEXT - 1 + len / PATTERN_STEP_BYTES * PATTERN_STEPS_TEXT;
}

/* In upper or lower case; the shorter one is what is read. */
static bool ignoring_case(bool (*compare)(struct slice text, struct slice with), struct slice text,
			  struct slice with)
{
	take_text_steps(text.len < with.len ? text.len : with.len);
	return compare(text, with);
}

static bool has_prefix(const struct pattern_operator *operator, struct slice text)
{
	struct slice prefix = {operator->text, operator->text_len };

	if (operator->ignores_case)
		return ignoring_case(pattern_case_starts, text, prefix);
	return text.len >= prefix.len && !memcmp(text.base, prefix.base, prefix.len);
}

static bool has_suffix(const struct pattern_operator *operator, struct slice text)
{
	struct slice suffix = {operator->text, operator->text_len };

	if (operator->ignores_case)
		return ignoring_case(pattern_case_ends, text, suffix);
	return text.len >= suffix.len &&
	       !memcmp(text.base + text.len - suffix.len, suffix.base, suffix.len);
}

static bool is_in_range(const struct pattern_range *range, const struct pattern_value *value)
{
	long double number;

	if (value->kind == PATTERN_VALUE_INTEGER)
		number = (long double)value->integer;
	else if (value->kind == PATTERN_VALUE_REAL)
		number = (long double)value->real;
	else
		return false;
	if (range->has_low && !(range->low_included ? number >= range->low : number > range->low))
		return false;
	return !range->has_high ||
	       (range->high_included ? number <= range->high : number < range->high);
}

static bool is_in_network(const struct pattern_network *network, struct slice text)
{
	char address[INET6_ADDRSTRLEN];
	unsigned char bytes[16];
	unsigned whole = network->bits / 8, rest = network->bits % 8;
	unsigned mask = 0xffU & ~(0xffU >> rest);

	if (text.len >= sizeof(address) || memchr(text.base, '\0', text.len))
		return false;
	memcpy(address, text.base, text.len);
	address[text.len] = '\0';
	if (inet_pton(network->family, address, bytes) != 1 ||
	    memcmp(bytes, network->address, whole) != 0)
		return false;
	return !rest || ((bytes[whole] ^ network->address[whole]) & mask) == 0;
}

bool pattern_operator_asks_for_absence(const struct pattern_operator *operator)
{
	return operator->kind == PATTERN_EXISTS && !operator->present;
}

static bool is_anything_but(const struct pattern_operator *operator,
			    const struct pattern_value * value)
{
	pattern_steps += pattern_steps_search(operator->values.count);
	if (pattern_constants_hold(&operator->values, value))
		return false;
	for (size_t i = 0; i < operator->operator_count; i++)
		if (pattern_operator_holds(&operator->operators[i], value))
			return false;
	return true;
}

static bool holds_for_text(const struct pattern_operator *operator, struct slice text)
{
	switch (operator->kind) {
	case PATTERN_PREFIX:
		return has_prefix(operator, text);
	case PATTERN_SUFFIX:
		return has_suffix(operator, text);
	case PATTERN_EQUALS_IGNORE_CASE:
		return ignoring_case(pattern_case_equal, text,
				     (struct slice){operator->text, operator->text_len});
	case PATTERN_WILDCARD:
		take_text_steps(text.len);
		return pattern_wildcard_matches(&operator->wildcard, text);
	case PATTERN_CIDR:
		take_text_steps(0);
		return is_in_network(&operator->network, text);
	default:
		return false;
	}
}

bool pattern_operator_holds(const struct pattern_operator *operator,
			    const struct pattern_value * value)
{
	pattern_steps++;
	switch (operator->kind) {
	case PATTERN_EXISTS:
		return operator->present;
	case PATTERN_NUMERIC:
		return is_in_range(&operator->range, value);
	case PATTERN_ANYTHING_BUT:
		return is_anything_but(operator, value);
	default:
		return value->kind == PATTERN_VALUE_STRING && holds_for_text(operator, value->text);
	}
}
