/*
 * date: now as HTTP writes it (RFC 9110, 5.6.7), made once a second and thread.
 */
#ifndef SLUICE_HTTP_DATE_PRIV_H
#define SLUICE_HTTP_DATE_PRIV_H

enum { DATE_BYTES = 29 };

/* Terminated, DATE_BYTES long; valid until the next call on this thread. */
const char *date_text(void);

#endif
