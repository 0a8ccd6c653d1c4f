/* Regular expressions over PCRE2. Deciding uses its breadth-first matcher, which does not
 * backtrack; replacing needs groups, which only the backtracking one gives: that has a limit of
 * steps. What RE2 does not have (looking around, references, atomic and possessive forms, verbs) is
 * refused when the configuration is read. */
#include "codec/regex.h"

#include <errno.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "base/assert.h"
#include "base/buf.h"

enum {
    WORKSPACE = 4096,
    STEPS_MAX = 200000,
};

struct regex {
    pcre2_code *code;
    uint32_t groups;
    size_t prefix_n;
    char prefix[64];
};

/* ---- what RE2 does not have ---- */

static const char *refused_group(const char *p, const char *end)
{
    /* p is behind "(?". */
    if (p >= end)
        return NULL;
    if (*p == 'P' && p + 1 < end && p[1] == '<')
        return NULL;
    if (*p == '<' && p + 1 < end && p[1] != '=' && p[1] != '!')
        return NULL;
    if (*p == '=' || *p == '!' || *p == '<')
        return "looking ahead and behind";
    if (*p == '>')
        return "atomic groups";
    if (strchr("imsU-:", *p))
        return NULL;
    return "this kind of group";
}

static const char *refused_escape(char c)
{
    if (c >= '1' && c <= '9')
        return "references to groups";
    if (strchr("gk", c))
        return "references to groups";
    if (strchr("KXRGNhHvV", c))
        return "this escape";
    return NULL;
}

/* What of the pattern RE2 would not take; NULL: nothing. */
static const char *refused(struct str s)
{
    bool in_class = false, quantified = false;
    for (const char *p = s.p, *end = s.p + s.n; p < end; p++) {
        const char *why = NULL;
        bool was_quantified = quantified;
        quantified = false;
        if (*p == '\\') {
            if (p + 1 < end)
                why = refused_escape(*++p);
        } else if (in_class) {
            in_class = *p != ']';
        } else if (*p == '[') {
            in_class = true;
            if (p + 1 < end && p[1] == '^')
                p++;
            if (p + 1 < end && p[1] == ']')
                p++;
        } else if (*p == '(' && p + 1 < end && p[1] == '?') {
            why = refused_group(p + 2, end);
            p++;
        } else if (*p == '(' && p + 1 < end && p[1] == '*') {
            why = "verbs";
        } else if (*p == '+' && was_quantified) {
            why = "possessive repetition";
        } else if (strchr("*+?}", *p) && !was_quantified) {
            quantified = true;
        }
        if (why)
            return why;
    }
    return NULL;
}

/* ---- making ---- */

static void find_prefix(struct regex *r, struct str s)
{
    size_t i = 0;
    while (i < s.n && i < sizeof(r->prefix) && !strchr("\\[](){}.*+?^$|", s.p[i]))
        i++;
    if (i < s.n && strchr("*?{", s.p[i]) && i)
        i--; /* the last may be missing */
    for (size_t at = 0; at < s.n; at++)
        if (s.p[at] == '|')
            i = 0; /* another branch may begin otherwise */
    memcpy(r->prefix, s.p, i);
    r->prefix_n = i;
}

int regex_new(struct str pattern, struct regex **ret, struct err *reterr)
{
    int code;
    PCRE2_SIZE at;
    if (pattern.n > REGEX_BYTES_MAX)
        return err_set(reterr, -E2BIG, NULL, "a regular expression of %zu bytes: at most %d",
                       pattern.n, REGEX_BYTES_MAX);
    if (!pattern.n)
        return err_set(reterr, -EINVAL, NULL, "an empty regular expression");
    const char *why = refused(pattern);
    if (why)
        return err_set(reterr, -EINVAL, NULL, "RE2 has no %s: \"" STR_FMT "\"", why,
                       STR_ARG(pattern));
    /* Bytes, not characters: paths and header values need not be UTF-8. */
    pcre2_code *c = pcre2_compile((PCRE2_SPTR)pattern.p, pattern.n,
                                  PCRE2_NEVER_UTF | PCRE2_DOLLAR_ENDONLY, &code, &at, NULL);
    if (!c) {
        PCRE2_UCHAR text[128];
        pcre2_get_error_message(code, text, sizeof(text));
        return err_set(reterr, -EINVAL, NULL, "regular expression \"" STR_FMT "\", at byte %zu: %s",
                       STR_ARG(pattern), (size_t)at, (const char *)text);
    }
    struct regex *r = NEW(struct regex);
    r->code = c;
    pcre2_pattern_info(c, PCRE2_INFO_CAPTURECOUNT, &r->groups);
    if (r->groups > REGEX_GROUPS_MAX) {
        regex_free(r);
        return err_set(reterr, -E2BIG, NULL, "a regular expression of %u groups: at most %d",
                       r->groups, REGEX_GROUPS_MAX);
    }
    find_prefix(r, pattern);
    *ret = r;
    return 0;
}

void regex_free(struct regex *r)
{
    if (!r)
        return;
    pcre2_code_free(r->code);
    free(r);
}

struct str regex_literal_prefix(const struct regex *r)
{
    return str_of(r->prefix, r->prefix_n);
}

/* ---- matching ---- */

/* Of each thread that matches, made when it first does. */
static _Thread_local pcre2_match_data *thread_data; /* as many groups as any pattern may have */
static _Thread_local pcre2_match_context *thread_context;

void regex_thread_done(void)
{
    pcre2_match_data_free(thread_data);
    pcre2_match_context_free(thread_context);
    thread_data = NULL;
    thread_context = NULL;
}

static pcre2_match_data *match_data(void)
{
    if (!thread_data)
        thread_data = pcre2_match_data_create(REGEX_GROUPS_MAX + 1, NULL);
    ASSERT(thread_data);
    return thread_data;
}

bool regex_matches_all(const struct regex *r, struct str text)
{
    int workspace[WORKSPACE];
    if (text.n > REGEX_TEXT_MAX || (r->prefix_n && !str_starts(text, regex_literal_prefix(r))))
        return false;
    /* Of all matches from the start the longest comes first. Not PCRE2_ENDANCHORED: with it PCRE2
     * 10.42 takes ".*a(b(c)?)?" for "axx". */
    return pcre2_dfa_match(r->code, (PCRE2_SPTR)text.p, text.n, 0, PCRE2_ANCHORED, match_data(),
                           NULL, workspace, WORKSPACE) >= 0 &&
           pcre2_get_ovector_pointer(match_data())[1] == text.n;
}

static pcre2_match_context *match_context(void)
{
    if (!thread_context) {
        thread_context = pcre2_match_context_create(NULL);
        ASSERT(thread_context);
        pcre2_set_match_limit(thread_context, STEPS_MAX);
    }
    return thread_context;
}

int regex_check_substitution(const struct regex *r, struct str s, struct err *reterr)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] != '\\')
            continue;
        i++;
        if (i < s.n && s.p[i] == '\\')
            continue;
        if (i >= s.n || s.p[i] < '0' || s.p[i] > '9')
            return err_set(reterr, -EINVAL, NULL,
                           "substitution \"" STR_FMT "\": a backslash must be followed by a digit "
                           "or a backslash",
                           STR_ARG(s));
        if ((uint32_t)(s.p[i] - '0') > r->groups)
            return err_set(reterr, -EINVAL, NULL,
                           "substitution \"" STR_FMT "\" names group %c of a pattern that has %u",
                           STR_ARG(s), s.p[i], r->groups);
    }
    return 0;
}

static void add_substitution(struct buf *to, struct str text, struct str s,
                             const PCRE2_SIZE *places, int n)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] != '\\' || i + 1 == s.n) {
            buf_add_char(to, s.p[i]);
            continue;
        }
        char c = s.p[++i];
        int group = c - '0';
        if (c == '\\')
            buf_add_char(to, c);
        else if (group < n && places[2 * group] != PCRE2_UNSET)
            buf_add(to, text.p + places[2 * group], places[2 * group + 1] - places[2 * group]);
    }
}

int regex_replace(const struct regex *r, struct str text, struct str substitution, struct buf *to)
{
    pcre2_match_data *data = match_data();
    const PCRE2_SIZE *places = pcre2_get_ovector_pointer(data);
    size_t at = 0, copied = 0;
    if (text.n > REGEX_TEXT_MAX)
        return -E2BIG;
    while (at <= text.n) {
        int n = pcre2_match(r->code, (PCRE2_SPTR)text.p, text.n, at, 0, data, match_context());
        if (n == PCRE2_ERROR_NOMATCH)
            break;
        if (n < 0)
            return -E2BIG;
        buf_add(to, text.p + copied, places[0] - copied);
        add_substitution(to, text, substitution, places, n);
        copied = places[1];
        at = places[1] > places[0] ? places[1] : places[1] + 1;
        if (to->n > REGEX_TEXT_MAX)
            return -E2BIG;
    }
    buf_add(to, text.p + copied, text.n - copied);
    return to->failed || to->n > REGEX_TEXT_MAX ? -E2BIG : 0;
}
