#include "feed/checks.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/mem.h"
#include "event/document.h"
#include "event/pattern.h"

struct check {
	const struct pattern *pattern;
	struct pattern *owned; /* the same; NULL: borrowed */
	unsigned parts;
};

struct checks {
	_Atomic uint32_t references;
	bool closed;
	struct checks *also[2]; /* references; NULL: none */
	size_t count;
	struct check checks[];
};

/* What is cheap stands in every document, so that one document serves most of the patterns. */
static unsigned parts_of(const struct pattern *pattern)
{
	unsigned parts = document_parts_of(pattern) | DOCUMENT_TOPIC | DOCUMENT_PARTITION;

	return parts & DOCUMENT_KEY_JSON ? parts : parts | DOCUMENT_KEY;
}

static struct checks *allocate(size_t count)
{
	struct checks *checks = mem_zalloc(sizeof(*checks) + count * sizeof(checks->checks[0]));

	atomic_init(&checks->references, 1);
	checks->count = count;
	return checks;
}

struct checks *checks_new(struct pattern *const *patterns, size_t count)
{
	struct checks *checks = allocate(count);

	for (size_t i = 0; i < count; i++)
		checks->checks[i] = (struct check){patterns[i], patterns[i], parts_of(patterns[i])};
	return checks;
}

struct checks *checks_new_borrowed(const struct pattern *pattern)
{
	struct checks *checks = allocate(1);

	checks->checks[0] = (struct check){pattern, NULL, parts_of(pattern)};
	return checks;
}

struct checks *checks_both(struct checks *a, struct checks *b)
{
	struct checks *both;

	if (!a || !b || a == b)
		return checks_ref(a ? a : b);
	both = allocate(0);
	both->also[0] = checks_ref(a);
	both->also[1] = checks_ref(b);
	return both;
}

struct checks *checks_new_closed(void)
{
	struct checks *checks = allocate(0);

	checks->closed = true;
	return checks;
}

struct checks *checks_ref(struct checks *checks)
{
	if (checks)
		atomic_fetch_add_explicit(&checks->references, 1, memory_order_relaxed);
	return checks;
}

void checks_unref(struct checks *checks)
{
	if (!checks || atomic_fetch_sub(&checks->references, 1) > 1)
		return;
	for (size_t i = 0; i < checks->count; i++)
		pattern_free(checks->checks[i].owned);
	checks_unref(checks->also[0]);
	checks_unref(checks->also[1]);
	free(checks);
}

bool checks_match_documents(const struct checks *checks,
			    const json_t *(*document)(void *context, unsigned parts), void *context)
{
	bool match = !checks->closed;

	for (size_t i = 0; match && i < checks->count; i++) {
		const json_t *found = document(context, checks->checks[i].parts);

		match = found && pattern_holds(checks->checks[i].pattern, found);
	}
	for (size_t i = 0; match && i < 2; i++)
		if (checks->also[i])
			match = checks_match_documents(checks->also[i], document, context);
	return match;
}

/* A record and its document, as it was last asked for. */
struct decoded {
	const struct record *record;
	json_t *document; /* NULL: not built, or it cannot be */
	unsigned parts;   /* 0: not built */
};

static const json_t *decode(void *context, unsigned parts)
{
	struct decoded *decoded = context;

	if (decoded->parts == parts)
		return decoded->document;
	json_decref(decoded->document);
	decoded->parts = parts;
	if (document_build(decoded->record, parts, &decoded->document))
		decoded->document = NULL;
	return decoded->document;
}

bool checks_match(const struct checks *checks, const struct record *record)
{
	struct decoded decoded = {.record = record};
	bool match = !checks || checks_match_documents(checks, decode, &decoded);

	json_decref(decoded.document);
	return match;
}
