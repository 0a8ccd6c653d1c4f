#pragma once
/* Indexes of an Indexed Job's pods: sets of numbers as status.completedIndexes writes them
 * ("0,2-5"), and an index on a pod. Pure. Rules: batch/v1 JobStatus, CompletionMode. */

#include "codec/json.h"

enum { JOB_INDEXES_MAX = 1 << 20 }; /* those beyond are nobody's */

struct job_indexes {
    bool *has;
    size_t n;
};

/* What is not a number or a range is passed over. NULL is empty. */
void job_indexes_parse(struct job_indexes *x, const char *text);
void job_indexes_add(struct job_indexes *x, int64_t index);
bool job_indexes_has(const struct job_indexes *x, int64_t index);
int64_t job_indexes_count(const struct job_indexes *x);
/* Three or more in a row are a range. The caller frees. */
char *job_indexes_text(const struct job_indexes *x);
void job_indexes_done(struct job_indexes *x);

/* -1: it has none. */
int64_t job_index_of(const json_t *pod);
/* Annotation, label, host name, the environment of all containers, and the name to be made up. */
void job_index_put(json_t *pod, const char *job, int64_t index);

/* Of two statuses: do they say the same? */
bool job_status_same(const json_t *a, const json_t *b);
