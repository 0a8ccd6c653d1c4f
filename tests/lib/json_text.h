#pragma once
/* JSON as a test writes it in C. */

#include "test.h"

#include "codec/json.h"

/* 'x' stands for "x". Owned by the caller. */
static inline json_t *json_of(const char *text)
{
    AUTO_CHARS char *quoted = xstrdup(text);
    json_t *j;
    for (char *c = quoted; *c; c++)
        *c = *c == '\'' ? '"' : *c;
    assert_ok(json_parse(str_from(quoted), 0, NULL, &j, NULL));
    return j;
}
