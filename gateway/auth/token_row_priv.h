/*
 * token_row: what a row of the table of tokens is worth. Thread: any.
 */
#ifndef SLUICE_AUTH_TOKEN_ROW_PRIV_H
#define SLUICE_AUTH_TOKEN_ROW_PRIV_H

#include "postgres/tokens.h"

/* The row's claims with its subject as "sub", the caller's to free(); NULL: they cannot be read. */
char *token_row_claims(const struct tokens_row *row);

/* 0, or ERROR_INVALID with the reason. Whether it has expired is asked at each use. `claims` is
 * what token_row_claims() gave. */
MUST_CHECK int token_row_check(const struct tokens_row *row, const char *claims,
			       const char **reason);

#endif
