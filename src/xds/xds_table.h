#pragma once
/* What somebody knows of resources of one type, by their names' numbers: an entry for some, marks
 * on others. Pages of 64 names, of which those with nothing on them are not there: some 9 bytes for
 * a name, where its neighbours are known too. Zero-initialised is empty. */

#include "xds/xds_entry.h"

enum xds_mark {
    XDS_HELD, /* there is an entry: xds_table_put(), xds_table_take() */
    XDS_WANTED,
    XDS_CHANGED,   /* it is to be looked at */
    XDS_ASKED_FOR, /* and to be said even if it is held, or not there */
    XDS_AWAITED,   /* endpoints of clusters sent, which the client has not asked for yet */
    XDS_NAMED,     /* while names are exchanged */
    XDS_MARKS,     /* how many */
};

struct xds_page;

struct xds_table {
    struct xds_page **pages;
    uint32_t n_pages;
    uint32_t counts[XDS_MARKS];
};

void xds_table_done(struct xds_table *t, enum xds_resource type); /* empty afterwards */

struct xds_entry *xds_table_find(const struct xds_table *t, const struct xds_name *n); /* NULL */
/* Takes the reference; returns that which was there, the caller's. */
struct xds_entry *xds_table_put(struct xds_table *t, struct xds_entry *e) NODISCARD;
struct xds_entry *xds_table_take(struct xds_table *t, const struct xds_name *n) NODISCARD;

bool xds_table_has(const struct xds_table *t, const struct xds_name *n, enum xds_mark mark);
/* Not XDS_HELD. The name lives as long as there is a mark. */
void xds_table_mark(struct xds_table *t, struct xds_name *n, enum xds_mark mark);
bool xds_table_unmark(struct xds_table *t, struct xds_name *n, enum xds_mark mark); /* was it? */
void xds_table_unmark_all(struct xds_table *t, enum xds_resource type, enum xds_mark mark);

/* for (size_t at = 0; xds_table_next(t, type, mark, &at, &name);) … by their numbers. What is done
 * to the current one, and to those that were passed, is not seen. */
bool xds_table_next(const struct xds_table *t, enum xds_resource type, enum xds_mark mark,
                    size_t *at, struct xds_name **ret);
