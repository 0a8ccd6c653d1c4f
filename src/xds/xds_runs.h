#pragma once
/* Resources one behind another as the fields of a response, made once for all streams that are sent
 * the same: what is the same is told by the entries themselves, so that it does not matter through
 * which sets they are seen. A stream's queue holds references. One thread. */

#include "base/chain.h"
#include "xds/xds_entry.h"

enum {
    XDS_RUN_MIN = 4 * 1024,        /* shorter ones are made for whoever wants them */
    XDS_RUNS_BYTES_MAX = 32 << 20, /* kept; over it all are forgotten */
    XDS_RUN_ENTRIES = 64,
};

struct xds_runs;

struct xds_runs *xds_runs_new(void);
void xds_runs_free(struct xds_runs *r); /* NULL is allowed */
/* At most XDS_RUN_ENTRIES. */
void xds_runs_add(struct xds_runs *r, enum xds_form form, struct xds_entry *const *v, size_t n,
                  struct chain *to);
/* Forgets them: those that are on their way go on. */
void xds_runs_clear(struct xds_runs *r);
size_t xds_runs_bytes(const struct xds_runs *r); /* kept */
