#pragma once
/* What is in force, as Envoy's /config_dump shows it, a resource at a time. What is secret is left
 * out. Main thread. */

#include "base/buf.h"
#include "codec/regex.h"
#include "proxy/store.h"

struct config_dump;

struct config_dump_options {
    char *resource; /* one list alone, such as dynamic_listeners; NULL: all. Owned by the dump */
    bool with_endpoints; /* also of endpoints */
    struct regex *names; /* those that match wholly; NULL: all. Owned by the dump */
};

/* Is there a list of that name? */
bool config_dump_has(const char *resource);
/* bootstrap: the packed message; borrowed by this call alone. Takes what the options own. NULL: no
 * memory for the bootstrap's messages. */
struct config_dump *config_dump_new(const struct config_dump_options *o, const struct store *s,
                                    struct str bootstrap, int64_t bootstrap_us);
void config_dump_free(struct config_dump *d); /* NULL is allowed */
/* Appends the next resources, until there are `bytes`. False: that was the last one. */
bool config_dump_next(struct config_dump *d, size_t bytes, struct buf *to);
