#pragma once
/* All statistics as text: Envoy's plain form, its JSON, or Prometheus' exposition, a piece at a
 * time, so that thousands of clusters neither hold the main thread up nor are ever whole in memory.
 * Main thread. */

#include "base/buf.h"
#include "codec/regex.h"
#include "proxy/stats_values.h"

struct stats_page;

enum stats_format {
    STATS_TEXT,
    STATS_JSON,
    STATS_PROMETHEUS,
};

struct stats_page_options {
    uint8_t format;       /* enum stats_format */
    bool used_only;       /* no zeros */
    uint8_t types;        /* bits of enum stats_type; 0: all */
    struct regex *filter; /* of names as in the plain form; NULL: all. Owned by the page */
};

/* Takes the filter. */
struct stats_page *stats_page_new(const struct stats_page_options *o, struct proxy_config *c,
                                  const struct stats_program *p);
void stats_page_free(struct stats_page *p); /* NULL is allowed */
/* Appends the next piece, at most about `bytes` of it, and looks at no more than some thousand
 * statistics. False: that was the last one. */
bool stats_page_next(struct stats_page *p, size_t bytes, struct buf *to);
