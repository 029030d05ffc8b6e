#include "auth/auth.h"
#include "base/config.h"

#define ISSUER(member) CONFIG_FIELD(struct auth_issuer, member)
#define AUTH(member)   CONFIG_FIELD(struct auth_settings, member)

static const char *const algorithms[] = {
    "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256",
    "PS384", "PS512", "ES256", "ES384", "ES512", NULL,
};

/* RFC 7518, 3.2: a key as long as the hash, or longer. */
static const struct {
	const char *algorithm;
	size_t bytes;
} hashes[] = {{"HS256", 32}, {"HS384", 48}, {"HS512", 64}};

static void check_secret(const struct config_at *at, const struct auth_issuer *issuer,
			 const char *algorithm)
{
	for (size_t i = 0; i < sizeof(hashes) / sizeof(hashes[0]); i++)
		if (!strcmp(hashes[i].algorithm, algorithm) && issuer->secret_len < hashes[i].bytes)
			config_refuse(at, NULL,
				      "its secret must have at least %zu bytes for %s "
				      "(RFC 7518, 3.2)",
				      hashes[i].bytes, algorithm);
}

static bool uses_secret(const struct auth_issuer *issuer)
{
	for (size_t i = 0; i < issuer->algorithm_count; i++)
		if (issuer->algorithms[i][0] == 'H')
			return true;
	return false;
}

static void check_url(const struct config_at *at, void *target)
{
	const char *url = ((const struct auth_issuer *)target)->jwks_url;

	if (url && strncmp(url, "https://", 8) && strncmp(url, "http://", 7))
		config_refuse(at, NULL, "must begin with https:// (or http://)");
}

static void check_issuer(const struct config_at *at, void *target)
{
	const struct auth_issuer *issuer = target;

	if (issuer->jwks_file && issuer->jwks_url)
		config_refuse(at, "/jwks_file", "stands beside \"jwks_url\": give one of them");
	if (issuer->jwks_ca_file && !issuer->jwks_url)
		config_refuse(at, "/jwks_ca_file", "is for \"jwks_url\" only: take it out");
	if (!issuer->secret && !issuer->jwks_file && !issuer->jwks_url)
		config_refuse(at, NULL,
			      "lacks keys: give it \"secret\", \"secret_file\", \"jwks_file\" or "
			      "\"jwks_url\"");
	if (issuer->secret && !uses_secret(issuer))
		config_refuse(at, NULL,
			      "its secret is of no use to %s: add HS256, HS384 or HS512 to "
			      "\"algorithms\"",
			      issuer->algorithms[0]);
	for (size_t i = 0; issuer->secret && i < issuer->algorithm_count; i++)
		check_secret(at, issuer, issuer->algorithms[i]);
}

static const struct setting issuer_rows[] = {
    {.name = "issuer",
     .type = SETTING_STRING,
     ISSUER(issuer),
     .min = 1,
     .doc = "What a token's iss must be; without it iss is not looked at."},
    {.name = "audience",
     .type = SETTING_STRING,
     ISSUER(audience),
     .min = 1,
     .doc = "What a token's aud must be or hold; without it aud is not looked at."},
    {.name = "algorithms",
     .type = SETTING_STRINGS,
     ISSUER(algorithms),
     CONFIG_COUNT(struct auth_issuer, algorithm_count),
     .required = true,
     .min = 1,
     .values = algorithms,
     .doc = "The algorithms that its tokens may be signed with."},
    {.name = "secret",
     .type = SETTING_STRING,
     ISSUER(secret),
     CONFIG_COUNT(struct auth_issuer, secret_len),
     .min = 1,
     .secret = true,
     .doc = "The key of HS256, HS384, HS512: at least 32, 48, 64 bytes."},
    {.name = "jwks_file",
     .type = SETTING_PATH,
     ISSUER(jwks_file),
     .doc = "A file of keys (JWKS, RFC 7517)."},
    {.name = "jwks_url",
     .type = SETTING_STRING,
     ISSUER(jwks_url),
     .min = 1,
     .check = check_url,
     .doc = "Where the keys are fetched."},
    {.name = "jwks_ca_file",
     .type = SETTING_PATH,
     ISSUER(jwks_ca_file),
     .doc = "Who may have signed that server's certificate, PEM; without it the system's list."},
    {.name = "refresh",
     .type = SETTING_DURATION,
     ISSUER(refresh_ms),
     .min = 1000,
     .max = 7 * 86400000,
     .fallback = "10m",
     .doc = "How often the keys are read again."},
};

static const struct config_table issuer_table = {
    CONFIG_ROWS(issuer_rows),
    .bytes = sizeof(struct auth_issuer),
    .check = check_issuer,
};

/* RFC 6265, 4.1.1: a token of RFC 9110. */
static void check_cookie(const struct config_at *at, void *target)
{
	const char *cookie = ((const struct auth_settings *)target)->cookie;

	for (; cookie && *cookie; cookie++) {
		if (*cookie > ' ' && *cookie < 0x7f && !strchr("\"(),/:;<=>?@[\\]{}", *cookie))
			continue;
		config_refuse(at, NULL, "is no cookie's name: write letters, digits, _ and -");
		return;
	}
}

static const struct setting rows[] = {
    {.name = "issuers",
     .type = SETTING_ARRAY,
     AUTH(issuers),
     CONFIG_COUNT(struct auth_settings, issuer_count),
     .table = &issuer_table,
     .doc = "Who may have issued a token; without any no token is valid."},
    {.name = "cookie",
     .type = SETTING_STRING,
     AUTH(cookie),
     .min = 1,
     .check = check_cookie,
     .doc = "The cookie that may carry a token; without it cookies are not looked at."},
    {.name = "query",
     .type = SETTING_BOOL,
     AUTH(query),
     .fallback = "true",
     .doc = "Whether ?token= and ?access_token= are read: a browser's EventSource sends no "
	    "headers of its own."},
    {.name = "leeway",
     .type = SETTING_DURATION,
     AUTH(leeway_ms),
     .max = 600000,
     .fallback = "30s",
     .doc = "How far the issuer's clock may be off, for exp and nbf."},
    {.name = "opaque",
     .type = SETTING_BOOL,
     AUTH(opaque),
     .fallback = "false",
     .doc = "Whether tokens of `sluice token create` are valid; needs \"postgres\"."},
    {.name = "opaque_cache",
     .type = SETTING_INTEGER,
     AUTH(opaque_cache),
     .min = 16,
     .max = 1000000,
     .fallback = "10000",
     .doc = "How many of these are kept in memory, beside those of open streams."},
};

const struct config_table auth_settings_table = {
    CONFIG_ROWS(rows),
    .bytes = sizeof(struct auth_settings),
};
