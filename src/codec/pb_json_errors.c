/* Errors that every reader of the JSON mapping has. Owns nothing. */
#include <errno.h>

#include "codec/pb_json_priv.h"

int pb_json_no_memory(struct pb_json_reader *r)
{
    return pb_path_fail(&r->path, r->err, -ENOMEM, "the message is over the limit of memory");
}

static const char *type_word(const json_t *j)
{
    switch (json_typeof(j)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "a list";
    case JSON_STRING:
        return "a string";
    case JSON_INTEGER:
        return "an integer";
    case JSON_REAL:
        return "a number";
    case JSON_TRUE:
    case JSON_FALSE:
        return "a boolean";
    case JSON_NULL:
        break;
    }
    return "null";
}

int pb_json_mismatch(struct pb_json_reader *r, const json_t *j, const char *expected)
{
    return pb_path_fail(&r->path, r->err, -EINVAL, "expected %s, not %s", expected, type_word(j));
}
