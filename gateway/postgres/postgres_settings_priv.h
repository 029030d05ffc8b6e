/*
 * What is wrong with a connection string, in words that repeat nothing of it: libpq's own may
 * repeat a piece of the password where it stands in the wrong place. NULL: nothing. `hosts`, where
 * not NULL, is how many there are to try.
 */
#ifndef SLUICE_POSTGRES_POSTGRES_SETTINGS_PRIV_H
#define SLUICE_POSTGRES_POSTGRES_SETTINGS_PRIV_H

const char *postgres_settings_check_url(const char *url, unsigned *hosts);

#endif
