#pragma once
/* The part of Go's template language that the chart is written in, with the functions of Helm's
 * that it uses: what is not known is an error with file and line, never ignored. Values are JSON;
 * what is not there is null, as in Helm. A set of templates is constant once all are added. */

#include "codec/json.h"

struct chart_file {
    const char *name; /* in the chart: "templates/agent.yaml" */
    struct str text;
};

struct templates;

enum {
    TEMPLATE_DEPTH_MAX = 64,                /* of blocks, parentheses, includes */
    TEMPLATE_STEPS_MAX = 20000,             /* of one rendering */
    TEMPLATE_OUTPUT_MAX = 16 * 1024 * 1024, /* bytes of one rendering */
    TEMPLATE_VALUES_MAX = 100000,           /* in a value that is copied or written */
    TEMPLATE_TEXT_MAX = 4 * 1024 * 1024,    /* bytes of one template */
};

/* files: what .Files.Get and .Files.Glob find; borrowed. */
struct templates *templates_new(const struct chart_file *files, size_t n_files);
void templates_free(struct templates *t); /* NULL is allowed */
DEFINE_AUTO(templates);
/* text is borrowed as long as the set lives. -EINVAL with "NAME:LINE: what is wrong". */
int templates_add(struct templates *t, const char *name, struct str text, struct err *reterr)
    NODISCARD;
/* data: what "." and "$" are: {Values, Release, Chart}. Appends to out. */
int templates_render(const struct templates *t, const char *name, json_t *data, struct buf *out,
                     struct err *reterr) NODISCARD;
