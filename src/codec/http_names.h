#pragma once
/* Well-known field names as numbers, so that what looks for a field compares a number. */

#include "base/str.h"

enum http_name {
    HTTP_NAME_OTHER, /* not one of them */
#define HTTP_NAME(id, text) HTTP_NAME_##id,
#include "codec/http_names.def"
#undef HTTP_NAME
    _HTTP_NAME_MAX,
};

/* Of a name in any letters. It must be a token (RFC 9110 section 5.6.2): that is not looked at. */
enum http_name http_name_find(struct str name);
/* Lower case; empty for HTTP_NAME_OTHER. Lives as long as the program. */
struct str http_name_text(enum http_name id);
