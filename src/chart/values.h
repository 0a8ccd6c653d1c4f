#pragma once
/* Values of the chart: what was chosen (files, --set) and what holds then. Helm's rules. */

#include "codec/json.h"

/* "a.b=c,d[0]=e,f={g,h}" into values, as helm --set takes it: true, false, null and whole numbers
 * are that unless texts is set (--set-string). -EINVAL names what is wrong. */
int values_set(json_t *values, struct str text, bool texts, struct err *reterr) NODISCARD;
/* Members of over into those of values, maps within maps; null stays: it takes a default out. */
void values_merge(json_t *values, const json_t *over);
/* The defaults with what was chosen: a new tree, without the defaults that null was chosen for. */
json_t *values_coalesce(const json_t *defaults, const json_t *chosen);

enum { VALUES_ERRORS_MAX = 20, VALUES_INDEX_MAX = 1000, VALUES_PATH_MAX = 30 };

/* Holds values against a schema (JSON Schema draft 7, the part that values.schema.json uses).
 * Appends a line for each mistake, "KEY: what is wrong, what to do"; returns how many, or -ENOTSUP:
 * the schema says what is not known here. */
int values_check(json_t *schema, json_t *values, struct buf *told, struct err *reterr) NODISCARD;
