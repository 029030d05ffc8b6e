/*
 * The files of migrations/, as the Makefile links them into the program: in the order of their
 * names, which begin with four digits; after the last comes one without a name.
 */
#ifndef SLUICE_POSTGRES_MIGRATE_FILES_PRIV_H
#define SLUICE_POSTGRES_MIGRATE_FILES_PRIV_H

struct migrate_file {
	const char *name; /* "0001_journal" */
	const char *begin, *end;
};

extern const struct migrate_file migrate_files[];

#endif
