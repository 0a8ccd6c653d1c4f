#pragma once
/* Resources from files: each holds a DiscoveryResponse (YAML or JSON) and is read again when
 * something in its directory has been moved into place or written (path_config_source). */

#include "proxy/store.h"

struct file_sources;

int file_sources_new(struct loop *l, struct store *s, struct file_sources **ret, struct err *reterr)
    NODISCARD;
void file_sources_free(struct file_sources *f); /* NULL is allowed */
/* Reads it soon, and whenever it changes. */
void file_sources_add(struct file_sources *f, const char *path);
