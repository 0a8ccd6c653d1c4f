#pragma once
/* What the store has of each kind, for whoever shows it. Main thread. */

#include "base/arena.h"
#include "base/vec.h"
#include "proxy/store.h"
#include "xds/kept_text.h"

enum kept_state {
    KEPT_ACTIVE,
    KEPT_WARMING,
};

/* One resource that did not stand in the bootstrap. */
struct kept_row {
    enum xds_resource type;
    enum kept_state state;
    char *name;             /* owned */
    struct kept_text *text; /* a reference; NULL: a secret */
    char *secret;           /* as JSON, without what is secret; NULL: none has come. Owned */
};

struct kept_rows {
    struct kept_row *v;
    size_t n, cap;
};

/* Resources are kept from now on. */
void store_keep_texts(struct store *s);
/* All of the kind, by name. */
void store_list_kept(const struct store *s, enum xds_resource type, struct kept_rows *ret);
void kept_rows_done(struct kept_rows *r);
