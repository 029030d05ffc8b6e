#include "auth/token_cache_priv.h"

#include <assert.h>
#include <pthread.h>
#include <search.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/queue.h>

#include "auth/token_row_priv.h"
#include "base/mem.h"
#include "base/metrics.h"

enum state { WANTED, ASKED, KNOWN, REFUSED };

struct token_entry {
	struct auth_holder holder; /* first */
	struct token_cache *cache;
	TAILQ_ENTRY(token_entry) link; /* where refs is 0 and it is not lost */
	uint8_t sha256[TOKENS_SHA256_BYTES];
	enum state state;
	bool again;         /* ASKED: the row has changed since */
	_Atomic bool lost;  /* out of the cache; its last holder frees it */
	uint32_t refs;      /* KNOWN: its holders */
	int code;           /* REFUSED: why */
	const char *reason; /* likewise */
	uint64_t until_ms;  /* likewise: when it is forgotten */
	int64_t expires_us; /* KNOWN */
	char *claims;       /* KNOWN: with its subject as "sub" */
};

TAILQ_HEAD(token_list, token_entry);

struct token_cache {
	struct token_cache_limits limits;
	pthread_mutex_t lock;
	void *tree;                 /* by digest */
	struct token_list lists[4]; /* by state, the oldest first */
	size_t counts[4];           /* KNOWN: without those that are held */
	size_t held;
	bool running;
	int64_t budget;     /* of refusals, in thousandths */
	uint64_t refill_ms; /* when it was last added to */
};

struct token_cache *token_cache_new(const struct token_cache_limits *limits)
{
	struct token_cache *cache = MEM_NEW(struct token_cache);

	cache->limits = *limits;
	cache->budget = 1000 * (int64_t)limits->refusals_at_once;
	for (enum state state = WANTED; state <= REFUSED; state++)
		TAILQ_INIT(&cache->lists[state]);
	pthread_mutex_init(&cache->lock, NULL);
	return cache;
}

static void free_entry(void *entry)
{
	free(((struct token_entry *)entry)->claims);
	free(entry);
}

void token_cache_free(struct token_cache *cache)
{
	assert(cache->held == 0);
	tdestroy(cache->tree, free_entry);
	pthread_mutex_destroy(&cache->lock);
	free(cache);
}

static int compare(const void *a, const void *b)
{
	return memcmp(((const struct token_entry *)a)->sha256,
		      ((const struct token_entry *)b)->sha256, TOKENS_SHA256_BYTES);
}

static struct token_entry *find(const struct token_cache *cache, const uint8_t *sha256)
{
	struct token_entry wanted;
	void *node;

	memcpy(wanted.sha256, sha256, TOKENS_SHA256_BYTES);
	node = tfind(&wanted, &cache->tree, compare);
	return node ? *(struct token_entry **)node : NULL;
}

static void list_add(struct token_cache *cache, struct token_entry *entry, enum state state)
{
	entry->state = state;
	TAILQ_INSERT_TAIL(&cache->lists[state], entry, link);
	cache->counts[state]++;
}

static void list_remove(struct token_cache *cache, struct token_entry *entry)
{
	TAILQ_REMOVE(&cache->lists[entry->state], entry, link);
	cache->counts[entry->state]--;
}

/* Of those in a list. */
static void forget(struct token_cache *cache, struct token_entry *entry)
{
	list_remove(cache, entry);
	tdelete(entry, &cache->tree, compare);
	free_entry(entry);
}

static void move(struct token_cache *cache, struct token_entry *entry, enum state state)
{
	size_t limit = state == KNOWN ? cache->limits.known : cache->limits.refused;

	list_remove(cache, entry);
	list_add(cache, entry, state);
	if ((state == KNOWN || state == REFUSED) && cache->counts[state] > limit)
		forget(cache, TAILQ_FIRST(&cache->lists[state]));
}

static bool may_ask(struct token_cache *cache, uint64_t now_ms)
{
	int64_t most = 1000 * (int64_t)cache->limits.refusals_at_once;

	if (cache->refill_ms && now_ms > cache->refill_ms)
		cache->budget +=
		    (int64_t)(now_ms - cache->refill_ms) * (int64_t)cache->limits.refusals_a_second;
	if (cache->budget > most)
		cache->budget = most;
	cache->refill_ms = now_ms;
	return cache->budget > 0;
}

static int want(struct token_cache *cache, const uint8_t *sha256, uint64_t now_ms, bool *run,
		const char **reason)
{
	struct token_entry *entry;

	if (cache->counts[WANTED] >= cache->limits.wanted || !may_ask(cache, now_ms)) {
		metrics_add(METRIC_TOKENS_LIMITED, 1);
		*reason = "too many unknown tokens are being tried";
		return ERROR_LIMIT;
	}
	entry = MEM_NEW(struct token_entry);
	entry->cache = cache;
	memcpy(entry->sha256, sha256, TOKENS_SHA256_BYTES);
	if (!tsearch(entry, &cache->tree, compare))
		abort();
	list_add(cache, entry, WANTED);
	*run = !cache->running;
	cache->running = true;
	*reason = "the token is not known yet";
	return ERROR_PENDING;
}

static int grant_known(struct token_cache *cache, struct token_entry *entry, int64_t now_us,
		       struct token_grant *grant, const char **reason)
{
	if (now_us >= entry->expires_us) {
		*reason = "the token has expired";
		return ERROR_EXPIRED;
	}
	if (entry->refs++ == 0) {
		list_remove(cache, entry);
		cache->held++;
	}
	*grant = (struct token_grant){&entry->holder, mem_strdup(entry->claims), entry->expires_us};
	return 0;
}

static int verify(struct token_cache *cache, const uint8_t *sha256, uint64_t now_ms, int64_t now_us,
		  struct token_grant *grant, bool *run, const char **reason)
{
	struct token_entry *entry = find(cache, sha256);

	if (entry && entry->state == REFUSED && now_ms >= entry->until_ms) {
		forget(cache, entry);
		entry = NULL;
	}
	if (!entry)
		return want(cache, sha256, now_ms, run, reason);
	if (entry->state == KNOWN)
		return grant_known(cache, entry, now_us, grant, reason);
	if (entry->state == REFUSED) {
		*reason = entry->reason;
		return entry->code;
	}
	*reason = "the token is not known yet";
	return ERROR_PENDING;
}

int token_cache_verify(struct token_cache *cache, const uint8_t *sha256, uint64_t now_ms,
		       int64_t now_us, struct token_grant *grant, bool *run, const char **reason)
{
	int rc;

	*run = false;
	pthread_mutex_lock(&cache->lock);
	rc = verify(cache, sha256, now_ms, now_us, grant, run, reason);
	pthread_mutex_unlock(&cache->lock);
	return rc;
}

static struct token_entry *entry_of(struct auth_holder *holder)
{
	assert(holder->jti == HOLDER_IS_TOKEN);
	return (struct token_entry *)holder;
}

static void release(struct token_cache *cache, struct token_entry *entry)
{
	if (--entry->refs)
		return;
	cache->held--;
	if (entry->lost) {
		free_entry(entry);
		return;
	}
	list_add(cache, entry, KNOWN);
	if (cache->counts[KNOWN] > cache->limits.known)
		forget(cache, TAILQ_FIRST(&cache->lists[KNOWN]));
}

void token_cache_release(struct auth_holder *holder)
{
	struct token_cache *cache = entry_of(holder)->cache;

	pthread_mutex_lock(&cache->lock);
	release(cache, entry_of(holder));
	pthread_mutex_unlock(&cache->lock);
}

bool token_cache_has_lost(const struct auth_holder *holder)
{
	return atomic_load(&((const struct token_entry *)holder)->lost);
}

size_t token_cache_take(struct token_cache *cache, uint8_t *sha256, size_t max)
{
	size_t count = 0;

	pthread_mutex_lock(&cache->lock);
	while (count < max && cache->counts[WANTED]) {
		struct token_entry *entry = TAILQ_FIRST(&cache->lists[WANTED]);

		memcpy(sha256 + count++ * TOKENS_SHA256_BYTES, entry->sha256, TOKENS_SHA256_BYTES);
		entry->again = false;
		move(cache, entry, ASKED);
	}
	if (!count)
		cache->running = false;
	pthread_mutex_unlock(&cache->lock);
	return count;
}

static void refuse(struct token_cache *cache, struct token_entry *entry, int code,
		   const char *reason, uint64_t until_ms)
{
	entry->code = code;
	entry->reason = reason;
	entry->until_ms = until_ms;
	move(cache, entry, REFUSED);
}

static void refuse_for_good(struct token_cache *cache, struct token_entry *entry, int code,
			    const char *reason, uint64_t now_ms)
{
	metrics_add(METRIC_TOKENS_REFUSED, 1);
	cache->budget -= 1000;
	refuse(cache, entry, code, reason, now_ms + cache->limits.refused_ms);
}

static void put(struct token_cache *cache, struct token_entry *entry, const struct tokens_row *row,
		uint64_t subject, char *claims)
{
	metrics_add(METRIC_TOKENS_FOUND, 1);
	entry->holder = (struct auth_holder){HOLDER_IS_TOKEN, subject, row->created_us};
	entry->expires_us = row->expires_us;
	entry->claims = claims;
	move(cache, entry, KNOWN);
}

void token_cache_put(struct token_cache *cache, const struct tokens_row *row, uint64_t subject,
		     uint64_t now_ms)
{
	char *claims = token_row_claims(row);
	struct token_entry *entry;
	const char *reason;
	int code = token_row_check(row, claims, &reason);

	pthread_mutex_lock(&cache->lock);
	entry = find(cache, (const uint8_t *)row->sha256.base);
	if (!entry || entry->state != ASKED || entry->again) {
		free(claims);
	} else if (code) {
		free(claims);
		refuse_for_good(cache, entry, code, reason, now_ms);
	} else {
		put(cache, entry, row, subject, claims);
	}
	pthread_mutex_unlock(&cache->lock);
}

static void end_one(struct token_cache *cache, struct token_entry *entry, bool failed,
		    uint64_t now_ms)
{
	if (failed) {
		metrics_add(METRIC_TOKENS_FAILED, 1);
		refuse(cache, entry, ERROR_UNAVAILABLE, "the token cannot be looked up now",
		       now_ms + cache->limits.failed_ms);
	} else if (entry->again) {
		move(cache, entry, WANTED);
	} else {
		refuse_for_good(cache, entry, ERROR_INVALID, "the token is not known", now_ms);
	}
}

void token_cache_end(struct token_cache *cache, bool failed, uint64_t now_ms)
{
	pthread_mutex_lock(&cache->lock);
	while (cache->counts[ASKED])
		end_one(cache, TAILQ_FIRST(&cache->lists[ASKED]), failed, now_ms);
	pthread_mutex_unlock(&cache->lock);
}

static bool touch(struct token_cache *cache, struct token_entry *entry)
{
	entry->again = true;
	if (entry->state == REFUSED)
		forget(cache, entry);
	else if (entry->state == KNOWN)
		return true;
	return false;
}

bool token_cache_touch(struct token_cache *cache, const uint8_t *sha256)
{
	struct token_entry *entry;
	bool known;

	pthread_mutex_lock(&cache->lock);
	entry = find(cache, sha256);
	known = entry && touch(cache, entry);
	pthread_mutex_unlock(&cache->lock);
	return known;
}

struct digests {
	uint8_t *bytes;
	size_t count;
};

static void collect_known(const void *node, VISIT visit, void *context)
{
	const struct token_entry *entry = *(struct token_entry *const *)node;
	struct digests *digests = context;

	if ((visit != postorder && visit != leaf) || entry->state != KNOWN)
		return;
	memcpy(digests->bytes + digests->count++ * TOKENS_SHA256_BYTES, entry->sha256,
	       TOKENS_SHA256_BYTES);
}

uint8_t *token_cache_touch_all(struct token_cache *cache, size_t *count)
{
	struct digests digests = {0};
	struct token_entry *entry;

	pthread_mutex_lock(&cache->lock);
	while ((entry = TAILQ_FIRST(&cache->lists[REFUSED])))
		forget(cache, entry);
	TAILQ_FOREACH(entry, &cache->lists[ASKED], link)
	entry->again = true;
	digests.bytes = mem_alloc((cache->held + cache->counts[KNOWN] + 1) * TOKENS_SHA256_BYTES);
	twalk_r(cache->tree, collect_known, &digests);
	pthread_mutex_unlock(&cache->lock);
	*count = digests.count;
	return digests.bytes;
}

static void lose(struct token_cache *cache, struct token_entry *entry)
{
	if (!entry->refs) {
		forget(cache, entry);
		return;
	}
	tdelete(entry, &cache->tree, compare);
	atomic_store(&entry->lost, true);
}

static bool is_same(const struct token_entry *entry, const struct tokens_row *row, uint64_t subject,
		    const char *claims)
{
	return row && row->revoked_us == TOKENS_NEVER && row->expires_us == entry->expires_us &&
	       row->created_us == entry->holder.issued_us && subject == entry->holder.subject &&
	       claims && !strcmp(claims, entry->claims);
}

bool token_cache_refresh(struct token_cache *cache, const uint8_t *sha256,
			 const struct tokens_row *row, uint64_t subject)
{
	char *claims = row ? token_row_claims(row) : NULL;
	struct token_entry *entry;
	bool lost;

	pthread_mutex_lock(&cache->lock);
	entry = find(cache, sha256);
	lost = entry && entry->state == KNOWN && !is_same(entry, row, subject, claims);
	if (lost)
		lose(cache, entry);
	pthread_mutex_unlock(&cache->lock);
	free(claims);
	return lost;
}

size_t token_cache_count(struct token_cache *cache)
{
	size_t count;

	pthread_mutex_lock(&cache->lock);
	count = cache->held + cache->counts[KNOWN];
	pthread_mutex_unlock(&cache->lock);
	return count;
}
