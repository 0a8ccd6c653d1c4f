#pragma once
/* Reading an object part by part, knowing where one is: what is wrong is told with the path of its
 * field. What is asked for and is not there is a default, never an error by itself. */

#include "codec/json.h"
#include "model/finding.h"
#include "model/route.h"

struct object_reader {
    struct findings *findings; /* NULL: nobody is told */
    const char *object;        /* namespace/name */
    const char *id;            /* of what is wrong; constant */
    struct buf path;           /* of the part that is read: spec.http[0] */
    unsigned errors;
};

void object_reader_done(struct object_reader *r);
/* Into a part, an item of a list, a key of a map; each returns what is to be given to leave(). */
size_t reader_enter(struct object_reader *r, const char *name);
size_t reader_enter_item(struct object_reader *r, const char *name, size_t i);
size_t reader_enter_key(struct object_reader *r, const char *name, const char *key);
void reader_leave(struct object_reader *r, size_t mark);
/* field: below the part; NULL: the part itself. False, so that it can be returned. */
bool reader_error(struct object_reader *r, const char *field, const char *hint, const char *fmt,
                  ...) __attribute__((format(printf, 4, 5)));
void reader_warn(struct object_reader *r, const char *field, const char *hint, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* Each false: it is wrong, and told; what is absent leaves *ret. */
bool reader_duration_ms(struct object_reader *r, const json_t *j, const char *name, uint64_t min_ms,
                        uint64_t *ret);
bool reader_number(struct object_reader *r, const json_t *j, const char *name, int64_t min,
                   int64_t max, int64_t *ret);
/* {"value": 12.5} as a share of a million. */
bool reader_percentage(struct object_reader *r, const json_t *j, const char *name, uint32_t *ret);
/* A StringMatch: exact, prefix, or regex; none of them: that it is there, if that is allowed. */
bool reader_comparison(struct object_reader *r, const json_t *j, bool may_be_empty,
                       struct route_header *ret);
bool reader_regex(struct object_reader *r, const char *field, const char *regex);
