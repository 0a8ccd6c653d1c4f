#pragma once
/* Where in a message a reader stands, as text: listeners[0].filter_chains[1].filters[0], a map's
 * key as metadata["envoy.lb"]. Steps return a mark to go back to. */

#include "base/err.h"
#include "base/str.h"

struct pb_path {
    char text[1024]; /* ends in NUL; a step that does not fit is left out */
    size_t n;
};

size_t pb_path_field(struct pb_path *p, const char *name);
size_t pb_path_index(struct pb_path *p, size_t index);
size_t pb_path_key(struct pb_path *p, struct str key);
void pb_path_back(struct pb_path *p, size_t mark);

/* err_set with this path, its beginning left out where it is longer than an err holds. */
int pb_path_fail(const struct pb_path *p, struct err *reterr, int code, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
