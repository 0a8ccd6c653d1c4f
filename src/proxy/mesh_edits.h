#pragma once
/* What a connection manager changes of Istio's metrics of its requests
 * (stats.PluginConfig.metrics): which are not told, which labels are left out, and which are told
 * otherwise. The same of two configurations is one, which is there for ever, as series are.
 *
 * Limits: MESH_EDITS_MAX of them, MESH_EDITS_LABELS changed labels each; values of requests are
 * texts of MESH_EDITS_VALUES_MAX kinds, what is beyond is "unknown". */

#include <stats/config.pb-c.h>

#include "codec/http_head.h"
#include "codec/tag_value.h"

enum {
    MESH_EDITS_MAX = 256,
    MESH_EDITS_LABELS = 32,
    MESH_EDITS_METRICS = 4, /* of requests: in the order of mesh_page.c */
    MESH_EDITS_VALUES_MAX = 1024,
};

struct mesh_edit {
    char *label;
    uint8_t metrics;        /* bits: of which it is */
    bool removed;           /* else it is told as */
    struct tag_value value; /* this */
    uint8_t at;             /* among the values of a request, which are not constant */
};

struct mesh_edits {
    uint8_t dropped; /* bits of metrics */
    struct mesh_edit labels[MESH_EDITS_LABELS];
    size_t n_labels, n_values;
};

/* On the main thread. NULL: nothing is changed. What cannot be told is left as it is, with a word
 * of the log. */
const struct mesh_edits *mesh_edits_get(const Stats__PluginConfig *m);
/* What a request says, as a text that stays; NULL: nothing, or there are too many. */
const char *mesh_edits_values(const struct mesh_edits *e, const struct http_head *head);
/* The n-th of them; values as above. */
struct str mesh_edits_value(const struct mesh_edit *e, const char *values);
/* That of a label, of a metric; NULL: it stays. */
const struct mesh_edit *mesh_edits_find(const struct mesh_edits *e, unsigned metric,
                                        struct str label);
/* Behind the workers. */
void mesh_edits_done(void);
