/*
 * dev: `sluice --dev`: a broker inside this process, a PostgreSQL cluster beside it (in
 * dev-postgres below $SLUICE_DEV_DIR, or build) and sample events, as long as it runs.
 *
 *     host.metrics   this machine's load, memory and network figures, every second
 *     orders         made-up orders of a few users, keyed by user
 *     announcements  a made-up notice to everybody, now and then
 */
#ifndef SLUICE_DEV_H
#define SLUICE_DEV_H

#include "base/error.h"

struct dev;

/* Starts the broker and PostgreSQL and names them in the environment variables SLUICE_KAFKA and
 * SLUICE_DEV_POSTGRES, for the configuration; the latter is not set where PostgreSQL's programs are
 * not installed. Errors are logged. */
MUST_CHECK int dev_start(struct dev **dev);
/* Starts the sample events. */
MUST_CHECK int dev_start_samples(struct dev *dev);
void dev_stop(struct dev *dev);

/* "127.0.0.1:port". Borrowed. */
const char *dev_brokers(const struct dev *dev);

#endif
