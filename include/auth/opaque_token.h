/*
 * opaque_token: the text of a token that says nothing by itself: "slc_" and 32 random bytes in
 * base64url. The prefix is for those who search for leaked secrets; a text of another form is
 * refused without asking PostgreSQL. Thread: any.
 */
#ifndef SLUICE_AUTH_OPAQUE_TOKEN_H
#define SLUICE_AUTH_OPAQUE_TOKEN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

enum { OPAQUE_TOKEN_CHARS = 4 + 43, OPAQUE_TOKEN_DIGEST_BYTES = 32 };

/* A new one, with its NUL. */
void opaque_token_make(char text[OPAQUE_TOKEN_CHARS + 1]);
bool opaque_token_has_form(struct slice text);
/* The SHA-256 of its characters: what is stored. */
void opaque_token_digest(struct slice text, uint8_t digest[OPAQUE_TOKEN_DIGEST_BYTES]);

#endif
