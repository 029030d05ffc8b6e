#include "auth/revocations_priv.h"

#include <openssl/evp.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <search.h>
#include <stdlib.h>

#include "base/mem.h"

struct revocation {
	uint64_t hash;
	int64_t revoked_us;
	int64_t expires_us;
};

/* What all with the same hashes share. */
struct secret {
	unsigned char bytes[32];
};

struct revocations {
	struct secret secret;
	pthread_rwlock_t lock;
	void *tree; /* of struct revocation, by hash */
	size_t count;
};

static struct revocations *new_with(const struct secret *secret)
{
	struct revocations *revocations = MEM_NEW(struct revocations);

	revocations->secret = *secret;
	pthread_rwlock_init(&revocations->lock, NULL);
	return revocations;
}

struct revocations *revocations_new(void)
{
	struct secret secret;

	/* Without random bytes OpenSSL makes no TLS keys either. */
	if (RAND_bytes(secret.bytes, sizeof(secret.bytes)) != 1)
		abort();
	return new_with(&secret);
}

struct revocations *revocations_new_like(const struct revocations *revocations)
{
	return new_with(&revocations->secret);
}

void revocations_free(struct revocations *revocations)
{
	tdestroy(revocations->tree, free);
	pthread_rwlock_destroy(&revocations->lock);
	free(revocations);
}

uint64_t revocations_hash(const struct revocations *revocations, enum tokens_kind kind,
			  struct slice value)
{
	const unsigned char kind_byte = (unsigned char)kind;
	unsigned char digest[EVP_MAX_MD_SIZE];
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	uint64_t hash;

	if (!context || !EVP_DigestInit_ex(context, EVP_sha256(), NULL) ||
	    !EVP_DigestUpdate(context, &revocations->secret, sizeof(revocations->secret)) ||
	    !EVP_DigestUpdate(context, &kind_byte, 1) ||
	    !EVP_DigestUpdate(context, value.base, value.len) ||
	    !EVP_DigestFinal_ex(context, digest, NULL))
		abort();
	EVP_MD_CTX_free(context);
	memcpy(&hash, digest, sizeof(hash));
	return hash == REVOCATIONS_NO_HASH ? 1 : hash;
}

static int compare(const void *a, const void *b)
{
	uint64_t left = ((const struct revocation *)a)->hash;
	uint64_t right = ((const struct revocation *)b)->hash;

	return (left > right) - (left < right);
}

static struct revocation *find(const struct revocations *revocations, uint64_t hash)
{
	const struct revocation wanted = {.hash = hash};
	void *node = tfind(&wanted, &revocations->tree, compare);

	return node ? *(struct revocation **)node : NULL;
}

static struct revocation *find_or_add(struct revocations *revocations, uint64_t hash)
{
	struct revocation *found = find(revocations, hash);

	if (found)
		return found;
	found = MEM_NEW(struct revocation);
	found->hash = hash;
	if (!tsearch(found, &revocations->tree, compare))
		abort();
	revocations->count++;
	return found;
}

bool revocations_set(struct revocations *revocations, const struct tokens_revocation *revocation)
{
	uint64_t hash = revocations_hash(revocations, revocation->kind, revocation->value);
	struct revocation *entry;
	bool more;

	pthread_rwlock_wrlock(&revocations->lock);
	entry = find_or_add(revocations, hash);
	more = revocation->revoked_us > entry->revoked_us ||
	       revocation->expires_us > entry->expires_us;
	entry->revoked_us = revocation->revoked_us;
	entry->expires_us = revocation->expires_us;
	pthread_rwlock_unlock(&revocations->lock);
	return more;
}

void revocations_remove(struct revocations *revocations, enum tokens_kind kind, struct slice value)
{
	uint64_t hash = revocations_hash(revocations, kind, value);
	struct revocation *entry;

	pthread_rwlock_wrlock(&revocations->lock);
	entry = find(revocations, hash);
	if (entry) {
		tdelete(entry, &revocations->tree, compare);
		free(entry);
		revocations->count--;
	}
	pthread_rwlock_unlock(&revocations->lock);
}

void revocations_replace(struct revocations *revocations, struct revocations *newer)
{
	void *tree;

	pthread_rwlock_wrlock(&revocations->lock);
	tree = revocations->tree;
	revocations->tree = newer->tree;
	revocations->count = newer->count;
	pthread_rwlock_unlock(&revocations->lock);
	newer->tree = tree;
	revocations_free(newer);
}

static const struct revocation *find_live(const struct revocations *revocations, uint64_t hash,
					  int64_t now_us)
{
	const struct revocation *entry =
	    hash == REVOCATIONS_NO_HASH ? NULL : find(revocations, hash);

	return entry && now_us < entry->expires_us ? entry : NULL;
}

bool revocations_hold(struct revocations *revocations, uint64_t jti, uint64_t subject,
		      int64_t issued_us, int64_t now_us)
{
	const struct revocation *of_subject;
	bool held;

	pthread_rwlock_rdlock(&revocations->lock);
	of_subject = find_live(revocations, subject, now_us);
	held = (of_subject && issued_us <= of_subject->revoked_us) ||
	       find_live(revocations, jti, now_us);
	pthread_rwlock_unlock(&revocations->lock);
	return held;
}

size_t revocations_count(struct revocations *revocations)
{
	size_t count;

	pthread_rwlock_rdlock(&revocations->lock);
	count = revocations->count;
	pthread_rwlock_unlock(&revocations->lock);
	return count;
}
