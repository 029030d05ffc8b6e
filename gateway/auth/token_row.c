#include "auth/token_row_priv.h"

#include <jansson.h>

#include "base/log.h"

char *token_row_claims(const struct tokens_row *row)
{
	json_t *claims = row->claims.base ? json_loadb(row->claims.base, row->claims.len,
						       JSON_REJECT_DUPLICATES, NULL)
					  : NULL;
	json_t *subject = json_stringn(row->subject.base, row->subject.len);
	char *text = NULL;

	if (json_is_object(claims) && subject && json_object_set(claims, "sub", subject) == 0)
		text = json_dumps(claims, JSON_COMPACT);
	json_decref(subject);
	json_decref(claims);
	return text;
}

int token_row_check(const struct tokens_row *row, const char *claims, const char **reason)
{
	if (row->revoked_us != TOKENS_NEVER) {
		*reason = "the token has been revoked";
		return ERROR_INVALID;
	}
	if (!claims) {
		log_event(LOG_WARN, "tokens", "a token's claims cannot be read",
			  LOG_INT("id", row->id));
		*reason = "the token has claims that cannot be read";
		return ERROR_INVALID;
	}
	return 0;
}
