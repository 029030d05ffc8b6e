#include "event/pattern_case_priv.h"

#include <locale.h>
#include <pthread.h>
#include <wctype.h>

static locale_t unicode;
static pthread_once_t unicode_once = PTHREAD_ONCE_INIT;

/* Part of glibc itself; without it only ASCII is folded. */
static void open_unicode(void)
{
	unicode = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
}

static wint_t lower(wint_t c)
{
	if (c < 0x80)
		return c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c;
	pthread_once(&unicode_once, open_unicode);
	return unicode ? towlower_l(c, unicode) : c;
}

/* Takes the first character off; the text is not empty and is UTF-8. */
static wint_t next_lower(struct slice *text)
{
	const unsigned char *at = (const unsigned char *)text->base;
	size_t more = at[0] >= 0xf0 ? 3 : at[0] >= 0xe0 ? 2 : at[0] >= 0xc0 ? 1 : 0;
	wint_t c = more ? at[0] & (0x3fU >> more) : at[0];

	if (more >= text->len)
		more = text->len - 1;
	for (size_t i = 1; i <= more; i++)
		c = c << 6 | (at[i] & 0x3f);
	*text = (struct slice){text->base + more + 1, text->len - more - 1};
	return lower(c);
}

bool pattern_case_starts(struct slice text, struct slice prefix)
{
	while (prefix.len && text.len)
		if (next_lower(&text) != next_lower(&prefix))
			return false;
	return !prefix.len;
}

bool pattern_case_equal(struct slice a, struct slice b)
{
	while (a.len && b.len)
		if (next_lower(&a) != next_lower(&b))
			return false;
	return !a.len && !b.len;
}

static bool continues_character(char byte)
{
	return ((unsigned char)byte & 0xc0) == 0x80;
}

/* Takes the last character off; the text is not empty and is UTF-8. */
static wint_t last_lower(struct slice *text)
{
	size_t at = text->len - 1;
	struct slice last;

	while (at && continues_character(text->base[at]))
		at--;
	last = (struct slice){text->base + at, text->len - at};
	text->len = at;
	return next_lower(&last);
}

/* A character and its other case can differ in bytes: it is characters that are counted off. */
bool pattern_case_ends(struct slice text, struct slice suffix)
{
	while (suffix.len && text.len)
		if (last_lower(&text) != last_lower(&suffix))
			return false;
	return !suffix.len;
}
