#pragma once
/* Results as data, and as a table of columns. */

#include "cli/cli.h"

/* -1: `output` is `plain`, json or yaml; else the exit code, told. */
int cli_check_output(const char *output, const char *plain);
/* What somebody has kept; "-" is stdin. -1, or the exit code, told with that hint. */
int cli_json_file(const char *path, const char *hint, json_t **ret);
/* As "json" or "yaml". */
void cli_print_object(const char *output, const json_t *j);
/* An array of objects, for kubectl apply: a List as "json", else documents of YAML. */
void cli_print_objects(const char *output, const json_t *objects);

/* A table as kubectl prints it: cells are texts, columns as wide as their longest. */
struct cli_table {
    const char *const *names; /* NULL-terminated */
    VEC(char *) cells;        /* row by row; owned */
};
/* The next cell of the row. NULL is "-". */
void cli_table_add(struct cli_table *t, const char *cell);
void cli_table_addf(struct cli_table *t, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* Sorts rows by their cells, prints, frees them. Only the heading, if there are none. */
void cli_table_print(struct cli_table *t, bool sort);
