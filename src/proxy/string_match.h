#pragma once
/* Matchers of strings, fields and query parameters (envoy.type.matcher.v3.StringMatcher,
 * route.v3.HeaderMatcher and QueryParameterMatcher), compiled. Texts lie in the arena that they
 * were compiled into. */

#include <envoy/config/route/v3/route_components.pb-c.h>
#include <envoy/type/matcher/v3/string.pb-c.h>

#include "base/arena.h"
#include "codec/http_head.h"
#include "codec/pb_path.h"
#include "codec/regex.h"

enum string_match_kind {
    STRING_EXACT,
    STRING_PREFIX,
    STRING_SUFFIX,
    STRING_CONTAINS,
    STRING_REGEX,
};

struct string_match {
    uint8_t kind;
    bool ignore_case; /* not of a regular expression */
    struct str text;
    struct regex *regex;
};

/* -EINVAL with the path of what is wrong. */
int string_match_compile(const Envoy__Type__Matcher__V3__StringMatcher *m, struct arena *a,
                         struct pb_path *path, struct string_match *ret, struct err *reterr)
    NODISCARD;
bool string_matches(const struct string_match *m, struct str s);
/* A regular expression that ends with the arena. */
int regex_compile(const Envoy__Type__Matcher__V3__RegexMatcher *m, struct arena *a,
                  struct pb_path *path, struct regex **ret, struct err *reterr) NODISCARD;

enum field_match_kind {
    FIELD_PRESENT,
    FIELD_ABSENT,
    FIELD_STRING,
    FIELD_RANGE, /* a number in [low, high) */
};

struct field_match {
    uint16_t id; /* enum http_name */
    uint8_t kind;
    bool invert;
    bool missing_is_empty;
    struct str name; /* lower case; may be :path, :method, :authority, :scheme */
    struct string_match string;
    int64_t low, high;
};

int field_match_compile(const Envoy__Config__Route__V3__HeaderMatcher *m, struct arena *a,
                        struct pb_path *path, struct field_match *ret, struct err *reterr)
    NODISCARD;
/* :path, :method, :authority of a request; .p NULL: none of these. */
struct str pseudo_value(struct str name, const struct http_head *head);
bool field_matches(const struct field_match *m, const struct http_head *head);

struct query_match {
    struct str name;
    bool present; /* any value */
    struct string_match string;
};

int query_match_compile(const Envoy__Config__Route__V3__QueryParameterMatcher *m, struct arena *a,
                        struct pb_path *path, struct query_match *ret, struct err *reterr)
    NODISCARD;
/* query: without the '?'. */
bool query_matches(const struct query_match *m, struct str query);
