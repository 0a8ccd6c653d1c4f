#pragma once
/* Kinds of values that several readers of annotations take. NULL: taken; else why not. */

#include "base/str.h"

const char *ingress_read_bool(const char *value, bool *ret);
/* A copy; what was in *to is freed. */
const char *ingress_keep(char **to, const char *value);
/* RFC 9110 section 5.6.2. */
bool ingress_is_token(struct str s);
/* Not empty, without blanks and control characters. */
bool ingress_is_visible(const char *value);
