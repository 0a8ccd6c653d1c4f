#pragma once
/* What is kept of a release in the cluster: Helm's own record (a Secret of type helm.sh/release.v1,
 * one for each revision), so that Helm and this program take over from one another. */

#include "codec/json.h"

enum { RELEASE_BYTES_MAX = 32 * 1024 * 1024, RELEASE_HISTORY = 10 };

struct release {
    int64_t version;
    char *status;   /* deployed, superseded, failed, pending-install, … */
    char *manifest; /* YAML of all its objects */
    json_t *config; /* the values that were chosen */
    json_t *record; /* all of it, as it was read */
};

void release_done(struct release *r);
/* "sh.helm.release.v1.fairlead.v3"; owned. */
char *release_secret_name(int64_t version);
/* Out of a Secret; -EINVAL: it is none of Helm's, or damaged. */
int release_read(const json_t *secret, struct release *ret, struct err *reterr) NODISCARD;

/* A record of the embedded chart. first_deployed NULL: now. Takes config. */
json_t *release_record(int64_t version, const char *first_deployed, json_t *config,
                       struct str manifest, struct str notes);
/* Its status and what is said of it; the time is now. */
void release_set_status(json_t *record, const char *status, const char *description);
/* The Secret of a record; NULL: it cannot be packed. */
json_t *release_secret(const json_t *record, struct err *reterr);

/* gzip, bounded by RELEASE_BYTES_MAX. */
int release_unzip(struct str in, struct buf *out, struct err *reterr) NODISCARD;
int release_zip(struct str in, struct buf *out) NODISCARD;
