#include "http/stream_since_priv.h"

#include <stdio.h>
#include <time.h>

/* Takes `digits` digits off the text; -1 where there are fewer. */
static int take_number(struct slice *text, size_t digits)
{
	int number = 0;

	if (text->len < digits)
		return -1;
	for (size_t i = 0; i < digits; i++) {
		if (text->base[i] < '0' || text->base[i] > '9')
			return -1;
		number = number * 10 + (text->base[i] - '0');
	}
	*text = (struct slice){text->base + digits, text->len - digits};
	return number;
}

/* Takes one of these characters; NUL where another one stands there. */
static char take_one_of(struct slice *text, const char *characters)
{
	char c;

	if (!text->len || !text->base[0] || !strchr(characters, text->base[0]))
		return '\0';
	c = text->base[0];
	*text = (struct slice){text->base + 1, text->len - 1};
	return c;
}

static bool take_field(struct slice *text, size_t digits, const char *after, int *field)
{
	*field = take_number(text, digits);
	return *field >= 0 && (!after || take_one_of(text, after));
}

static bool take_fraction(struct slice *text, int64_t *ms)
{
	int64_t unit = 100;

	*ms = 0;
	if (!take_one_of(text, "."))
		return true;
	if (!text->len || text->base[0] < '0' || text->base[0] > '9')
		return false;
	for (int digit; (digit = take_number(text, 1)) >= 0; unit /= 10)
		*ms += digit * unit;
	return true;
}

/* A "+" that was not percent-encoded has become a space. */
static bool take_offset(struct slice *text, int64_t *offset_s)
{
	char sign = take_one_of(text, "Zz+- ");
	int hours, minutes;

	*offset_s = 0;
	if (!sign || sign == 'Z' || sign == 'z')
		return sign;
	if (!take_field(text, 2, ":", &hours) || !take_field(text, 2, NULL, &minutes) ||
	    hours > 23 || minutes > 59)
		return false;
	*offset_s = (sign == '-' ? -1 : 1) * (hours * 3600 + minutes * 60);
	return true;
}

/* The day is one of the month's: what timegm() makes of it is what it was. */
static bool make_time(const struct tm *fields, int64_t *seconds)
{
	struct tm made = *fields;

	*seconds = timegm(&made);
	return made.tm_mday == fields->tm_mday && made.tm_mon == fields->tm_mon;
}

/* RFC 3339, 5.6. A leap second is the second after it. */
static bool read_time(struct slice text, int64_t *since_ms)
{
	struct tm fields = {0};
	int64_t seconds, ms, offset_s;
	int second;

	if (!take_field(&text, 4, "-", &fields.tm_year) ||
	    !take_field(&text, 2, "-", &fields.tm_mon) ||
	    !take_field(&text, 2, "Tt ", &fields.tm_mday) ||
	    !take_field(&text, 2, ":", &fields.tm_hour) ||
	    !take_field(&text, 2, ":", &fields.tm_min) || !take_field(&text, 2, NULL, &second) ||
	    !take_fraction(&text, &ms) || !take_offset(&text, &offset_s) || text.len)
		return false;
	if (fields.tm_year < 1970 || fields.tm_hour > 23 || fields.tm_min > 59 || second > 60)
		return false;
	fields.tm_year -= 1900;
	fields.tm_mon -= 1;
	if (!make_time(&fields, &seconds))
		return false;
	*since_ms = (seconds + second - offset_s) * 1000 + ms;
	return *since_ms >= 0;
}

/* As in the configuration: "15m". */
static bool read_duration(struct slice text, int64_t now_ms, int64_t *since_ms)
{
	static const struct {
		struct slice name;
		int64_t ms;
	} units[] = {
	    {SLICE_LIT("ms"), 1},      {SLICE_LIT("s"), 1000},     {SLICE_LIT("m"), 60000},
	    {SLICE_LIT("h"), 3600000}, {SLICE_LIT("d"), 86400000},
	};
	enum { MAX_DIGITS = 9 };
	int64_t number = 0;
	size_t digits = 0;

	for (int digit; digits < MAX_DIGITS && (digit = take_number(&text, 1)) >= 0; digits++)
		number = number * 10 + digit;
	for (size_t i = 0; digits && i < sizeof(units) / sizeof(units[0]); i++) {
		if (!slice_equal(text, units[i].name))
			continue;
		*since_ms = number * units[i].ms < now_ms ? now_ms - number * units[i].ms : 0;
		return true;
	}
	return false;
}

int stream_since_read(struct slice text, int64_t now_ms, int64_t *since_ms)
{
	int64_t read_ms;

	if (!read_duration(text, now_ms, &read_ms) && !read_time(text, &read_ms))
		return ERROR_INVALID;
	*since_ms = read_ms;
	return 0;
}
