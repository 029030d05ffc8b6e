/* Tokens: signed by each kind of key, found at each place, rotated while the gateway runs, expiring, and never in the log. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/mem.h"
#include "lib/gateway_process.h"
#include "lib/http_client.h"
#include "lib/kafka_broker.h"
#include "lib/kafka_producer.h"
#include "lib/watch.h"
#include "unit/auth/http_server.h"
#include "unit/auth/signer.h"

/* clang-format off */
#define JSON(...) #__VA_ARGS__
static const char config[] = JSON(
{
	"listeners": [{ "address": "127.0.0.1", "port": 0 }],
	"http": { "loops": 2 },
	"kafka": { "bootstrap.servers": "${TOKENS_KAFKA}", "fetch.wait.max.ms": 10 },
	"log": { "level": "debug" },
	"auth": {
		"issuers": [
			{ "issuer": "secret", "audience": "sluice", "algorithms": ["HS256"], "secret_file": "${TOKENS_FOLDER}/secret" },
			{ "issuer": "file", "audience": "sluice", "algorithms": ["ES256", "RS256"], "jwks_file": "${TOKENS_FOLDER}/jwks.json" },
			{ "issuer": "url", "audience": "sluice", "algorithms": ["ES256", "RS256"], "jwks_url": "${TOKENS_URL}" }
		],
		"cookie": "session",
		"leeway": "0s"
	},
	"streams": {
		"user": { "path": "/users/{id}", "topics": ["events"], "access": { "claims": { "sub": ["{path.id}"] } } },
		"role": { "path": "/roles", "topics": ["events"], "access": { "claims": { "realm": { "roles": ["reader", "admin"] }, "mfa": [true] } } },
		"tenant": { "path": "/tenant", "topics": ["events"], "access": { "claims": { "tenants": ["red", "green", "blue"] } },
			"filter": { "value": { "tenant": ["{claims.tenants}"] } } },
		"public": { "path": "/public", "topics": ["events"], "access": "public" }
	}
}
);
/* clang-format on */

enum { MAX_TOKENS = 256 };

static struct kafka_broker broker;
static struct gateway_process gateway;
static struct kafka_producer *producer;
static struct http_server *key_server;
static struct sse_client_loop *loop;
static struct signer secret, file_ec, file_rsa, url_ec, url_rsa;

/* All that were made, to be looked for in the log. */
static char *tokens[MAX_TOKENS];
static size_t token_count;

static const char *keep(char *token)
{
	if (token_count == MAX_TOKENS)
		child_die("more than %d tokens", MAX_TOKENS);
	return tokens[token_count++] = token;
}

/* `more`: further claims, beginning with a comma. */
static const char *issue(const struct signer *signer, const char *algorithm, const char *kid,
			 const char *issuer, const char *more)
{
	struct buffer claims = {0};
	char *token;

	buffer_append_format(&claims, "{\"iss\":\"%s\",\"aud\":[\"other\",\"sluice\"]%s}", issuer,
			     more);
	token = signer_token(signer, algorithm, kid, buffer_text(&claims));
	buffer_free(&claims);
	return keep(token);
}

static char *key_set(const struct signer *one, const char *one_kid, const struct signer *other,
		     const char *other_kid)
{
	return signer_dump(json_pack("{s:[o,o]}", "keys", signer_jwk(one, one_kid), "keys" + 4,
				     NULL));
}

static void write_in_folder(const char *name, const char *text)
{
	char path[CHILD_PATH_BYTES + 32], new_path[CHILD_PATH_BYTES + 32];

	snprintf(path, sizeof(path), "%s/%s", gateway.folder, name);
	snprintf(new_path, sizeof(new_path), "%s/%s.new", gateway.folder, name);
	child_write_file(new_path, text);
	if (rename(new_path, path))
		child_die("can't rename %s", new_path);
}
