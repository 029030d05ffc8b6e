/*
 * envelope_priv: what the two envelopes share.
 */
#ifndef SLUICE_EVENT_ENVELOPE_PRIV_H
#define SLUICE_EVENT_ENVELOPE_PRIV_H

#include "event/envelope.h"

/* What bytes are in JSON. */
enum envelope_form {
	ENVELOPE_NULL,
	ENVELOPE_JSON,
	ENVELOPE_TEXT,
	ENVELOPE_BASE64,
};

enum envelope_form envelope_form_of_text(bool present, struct slice bytes);
/* Of the content's value, which may be JSON. */
enum envelope_form envelope_form_of_value(const struct envelope_content *content);

/* Appends the members of `head` and leaves the object open. */
void envelope_open(const json_t *head, struct buffer *out);
/* Appends ,"NAME": and the bytes, or ,"NAME_base64":. */
void envelope_append_member(const char *name, enum envelope_form form, struct slice bytes,
			    struct buffer *out);
/* The same of the content's value, in the form that envelope_form_of_value() says, or a less
 * particular one. */
void envelope_append_value(const char *name, enum envelope_form form,
			   const struct envelope_content *content, struct buffer *out);
/* Appends JSON on one line. */
void envelope_append_json(struct slice json, struct buffer *out);

#endif
