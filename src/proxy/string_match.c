/* Matchers. A field that comes more than once matches if one of its values does, and inverted if
 * none does; a missing field fails every matcher but "absent", unless it is to count as empty. Of a
 * query parameter only the first counts; nothing is decoded. */
#include "proxy/string_match.h"

#include <errno.h>

#include "base/assert.h"

static void free_regex(void *p)
{
    regex_free(p);
}

int regex_compile(const Envoy__Type__Matcher__V3__RegexMatcher *m, struct arena *a,
                  struct pb_path *path, struct regex **ret, struct err *reterr)
{
    size_t mark = pb_path_field(path, "regex");
    struct err err = {0};
    int r = regex_new(str_from(m->regex), ret, &err);
    if (r < 0)
        r = pb_path_fail(path, reterr, r, "%s", err_text(&err));
    else if ((r = arena_defer(a, free_regex, *ret)) < 0)
        regex_free(*ret);
    pb_path_back(path, mark);
    return r;
}

static int text_match(enum string_match_kind kind, const char *text, struct arena *a,
                      struct string_match *ret)
{
    ret->kind = (uint8_t)kind;
    ret->text = arena_str(a, str_from(text));
    return ret->text.p ? 0 : -ENOMEM;
}

int string_match_compile(const Envoy__Type__Matcher__V3__StringMatcher *m, struct arena *a,
                         struct pb_path *path, struct string_match *ret, struct err *reterr)
{
    *ret = (struct string_match){.ignore_case = m->ignore_case};
    switch ((int)m->match_pattern_case) {
    case ENVOY__TYPE__MATCHER__V3__STRING_MATCHER__MATCH_PATTERN_EXACT:
        return text_match(STRING_EXACT, m->exact, a, ret);
    case ENVOY__TYPE__MATCHER__V3__STRING_MATCHER__MATCH_PATTERN_PREFIX:
        return text_match(STRING_PREFIX, m->prefix, a, ret);
    case ENVOY__TYPE__MATCHER__V3__STRING_MATCHER__MATCH_PATTERN_SUFFIX:
        return text_match(STRING_SUFFIX, m->suffix, a, ret);
    case ENVOY__TYPE__MATCHER__V3__STRING_MATCHER__MATCH_PATTERN_CONTAINS:
        return text_match(STRING_CONTAINS, m->contains, a, ret);
    case ENVOY__TYPE__MATCHER__V3__STRING_MATCHER__MATCH_PATTERN_SAFE_REGEX: {
        size_t mark = pb_path_field(path, "safe_regex");
        int r = regex_compile(m->safe_regex, a, path, &ret->regex, reterr);
        pb_path_back(path, mark);
        ret->kind = STRING_REGEX;
        return r;
    }
    case ENVOY__TYPE__MATCHER__V3__STRING_MATCHER__MATCH_PATTERN_CUSTOM:
    case ENVOY__TYPE__MATCHER__V3__STRING_MATCHER__MATCH_PATTERN__NOT_SET:
    default:
        return pb_path_fail(path, reterr, -EINVAL,
                            "needs one of exact, prefix, suffix, contains, safe_regex");
    }
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

static bool same(const char *a, const char *b, size_t n, bool ignore_case)
{
    if (!ignore_case)
        return memcmp(a, b, n) == 0;
    for (size_t i = 0; i < n; i++)
        if (lower(a[i]) != lower(b[i]))
            return false;
    return true;
}

bool string_matches(const struct string_match *m, struct str s)
{
    struct str t = m->text;
    if (m->kind == STRING_REGEX)
        return regex_matches_all(m->regex, s);
    if (t.n > s.n)
        return false;
    switch ((enum string_match_kind)m->kind) {
    case STRING_EXACT:
        return t.n == s.n && same(s.p, t.p, t.n, m->ignore_case);
    case STRING_PREFIX:
        return same(s.p, t.p, t.n, m->ignore_case);
    case STRING_SUFFIX:
        return same(s.p + s.n - t.n, t.p, t.n, m->ignore_case);
    case STRING_CONTAINS:
        for (size_t i = 0; i + t.n <= s.n; i++)
            if (same(s.p + i, t.p, t.n, m->ignore_case))
                return true;
        return false;
    case STRING_REGEX:
        break;
    }
    return false;
}

/* ---- fields ---- */

typedef Envoy__Config__Route__V3__HeaderMatcher header_matcher; /* for its long names' sake */

static int field_string(const header_matcher *m, struct arena *a, struct pb_path *path,
                        struct field_match *ret, struct err *reterr)
{
    size_t mark;
    int r;
    ret->kind = FIELD_STRING;
    switch ((int)m->header_match_specifier_case) {
    case ENVOY__CONFIG__ROUTE__V3__HEADER_MATCHER__HEADER_MATCH_SPECIFIER_EXACT_MATCH:
        return text_match(STRING_EXACT, m->exact_match, a, &ret->string);
    case ENVOY__CONFIG__ROUTE__V3__HEADER_MATCHER__HEADER_MATCH_SPECIFIER_PREFIX_MATCH:
        return text_match(STRING_PREFIX, m->prefix_match, a, &ret->string);
    case ENVOY__CONFIG__ROUTE__V3__HEADER_MATCHER__HEADER_MATCH_SPECIFIER_SUFFIX_MATCH:
        return text_match(STRING_SUFFIX, m->suffix_match, a, &ret->string);
    case ENVOY__CONFIG__ROUTE__V3__HEADER_MATCHER__HEADER_MATCH_SPECIFIER_CONTAINS_MATCH:
        return text_match(STRING_CONTAINS, m->contains_match, a, &ret->string);
    case ENVOY__CONFIG__ROUTE__V3__HEADER_MATCHER__HEADER_MATCH_SPECIFIER_SAFE_REGEX_MATCH:
        mark = pb_path_field(path, "safe_regex_match");
        ret->string.kind = STRING_REGEX;
        r = regex_compile(m->safe_regex_match, a, path, &ret->string.regex, reterr);
        pb_path_back(path, mark);
        return r;
    case ENVOY__CONFIG__ROUTE__V3__HEADER_MATCHER__HEADER_MATCH_SPECIFIER_STRING_MATCH:
        mark = pb_path_field(path, "string_match");
        r = string_match_compile(m->string_match, a, path, &ret->string, reterr);
        pb_path_back(path, mark);
        return r;
    case ENVOY__CONFIG__ROUTE__V3__HEADER_MATCHER__HEADER_MATCH_SPECIFIER_RANGE_MATCH:
        ret->kind = FIELD_RANGE;
        ret->low = m->range_match->start;
        ret->high = m->range_match->end;
        return 0;
    case ENVOY__CONFIG__ROUTE__V3__HEADER_MATCHER__HEADER_MATCH_SPECIFIER_PRESENT_MATCH:
        ret->kind = m->present_match ? FIELD_PRESENT : FIELD_ABSENT;
        return 0;
    case ENVOY__CONFIG__ROUTE__V3__HEADER_MATCHER__HEADER_MATCH_SPECIFIER__NOT_SET:
    default:
        ret->kind = FIELD_PRESENT;
        return 0;
    }
}

int field_match_compile(const header_matcher *m, struct arena *a, struct pb_path *path,
                        struct field_match *ret, struct err *reterr)
{
    *ret = (struct field_match){.invert = m->invert_match,
                                .missing_is_empty = m->treat_missing_header_as_empty};
    ret->name = arena_str(a, str_from(m->name));
    if (!ret->name.p)
        return -ENOMEM;
    for (size_t i = 0; i < ret->name.n; i++)
        ((char *)(uintptr_t)ret->name.p)[i] = lower(ret->name.p[i]);
    bool pseudo = ret->name.n && ret->name.p[0] == ':';
    if (!http_is_token(pseudo ? str_sub(ret->name, 1, ret->name.n) : ret->name))
        return pb_path_fail(path, reterr, -EINVAL, "\"%s\" is no name of a header", m->name);
    ret->id = pseudo ? HTTP_NAME_OTHER : (uint16_t)http_name_find(ret->name);
    return field_string(m, a, path, ret, reterr);
}

static bool value_matches(const struct field_match *m, struct str value)
{
    int64_t v;
    switch ((enum field_match_kind)m->kind) {
    case FIELD_PRESENT:
        return true;
    case FIELD_ABSENT:
        return false;
    case FIELD_STRING:
        return string_matches(&m->string, value);
    case FIELD_RANGE:
        return str_to_i64(value, &v) == 0 && v >= m->low && v < m->high;
    }
    return false;
}

struct str pseudo_value(struct str name, const struct http_head *head)
{
    if (str_is(name, ":path"))
        return head->path;
    if (str_is(name, ":method"))
        return head->method;
    if (str_is(name, ":authority"))
        return head->authority.p ? head->authority
                                 : http_field_value(http_head_find(head, HTTP_NAME_HOST));
    return (struct str){NULL, 0};
}

bool field_matches(const struct field_match *m, const struct http_head *head)
{
    bool seen = false, match = false;
    if (m->name.p[0] == ':') {
        struct str value = pseudo_value(m->name, head);
        seen = value.p != NULL;
        match = seen && value_matches(m, value);
    } else {
        for (uint16_t i = 0; i < head->n && !match; i++) {
            const struct http_field *f = &head->fields[i];
            if (!f->name_n || f->id != m->id)
                continue;
            if (m->id == HTTP_NAME_OTHER &&
                !(f->name_n == m->name.n && same(f->name, m->name.p, m->name.n, true)))
                continue;
            seen = true;
            match = value_matches(m, http_field_value(f));
        }
    }
    if (m->kind == FIELD_PRESENT)
        return seen != m->invert;
    if (m->kind == FIELD_ABSENT)
        return !seen != m->invert;
    if (!seen && !m->missing_is_empty)
        return false;
    if (!seen)
        match = value_matches(m, STR(""));
    return match != m->invert;
}

/* ---- query parameters ---- */

int query_match_compile(const Envoy__Config__Route__V3__QueryParameterMatcher *m, struct arena *a,
                        struct pb_path *path, struct query_match *ret, struct err *reterr)
{
    *ret = (struct query_match){.name = arena_str(a, str_from(m->name))};
    if (!ret->name.p)
        return -ENOMEM;
    if (m->query_parameter_match_specifier_case !=
        ENVOY__CONFIG__ROUTE__V3__QUERY_PARAMETER_MATCHER__QUERY_PARAMETER_MATCH_SPECIFIER_STRING_MATCH) {
        ret->present = true;
        return 0;
    }
    size_t mark = pb_path_field(path, "string_match");
    int r = string_match_compile(m->string_match, a, path, &ret->string, reterr);
    pb_path_back(path, mark);
    return r;
}

bool query_matches(const struct query_match *m, struct str query)
{
    while (query.p) {
        struct str value, name = str_cut(str_cut(query, '&', &query), '=', &value);
        if (!str_eq(name, m->name))
            continue;
        return m->present || string_matches(&m->string, value.p ? value : STR(""));
    }
    return false;
}
