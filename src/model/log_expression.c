/* By descent; a negation is carried down to the comparisons. */
#include "model/log_expression.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>

#include "base/time.h"
#include "codec/http_head.h"
#include "codec/regex.h"

struct reading {
    const char *text, *at;
    unsigned nodes, depth;
    struct err *err;
};

static struct log_expression *fail(struct reading *r, const char *why)
{
    if (!r->err->code)
        err_set(r->err, -EINVAL, NULL, "at \"%.40s\" (character %zu): %s", r->at,
                (size_t)(r->at - r->text) + 1, why);
    return NULL;
}

static struct log_expression *node(struct reading *r, enum log_expression_op op)
{
    if (r->nodes++ == LOG_EXPRESSION_NODES_MAX)
        return fail(r, "it is longer than 64 comparisons");
    struct log_expression *e = NEW(struct log_expression);
    e->op = op;
    return e;
}

void log_expression_free(struct log_expression *e)
{
    if (!e)
        return;
    log_expression_free(e->of[0]);
    log_expression_free(e->of[1]);
    free((char *)(uintptr_t)e->field);
    free(e->text);
    free(e);
}

/* ---- words ---- */

static void skip_blanks(struct reading *r)
{
    while (isspace((unsigned char)*r->at))
        r->at++;
}

/* A mark, if it comes next. */
static bool take(struct reading *r, const char *mark)
{
    size_t n = strlen(mark);
    skip_blanks(r);
    if (strncmp(r->at, mark, n) != 0)
        return false;
    r->at += n;
    return true;
}

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

/* The same of a word, which ends there. */
static bool take_word(struct reading *r, const char *word)
{
    size_t n = strlen(word);
    skip_blanks(r);
    if (strncmp(r->at, word, n) != 0 || is_word(r->at[n]))
        return false;
    r->at += n;
    return true;
}

/* 'x' or "x"; owned. NULL: none comes next, or it is no text of HTTP. */
static char *take_text(struct reading *r)
{
    AUTO_DONE(buf) struct buf b = {0};
    skip_blanks(r);
    char quote = *r->at;
    if (quote != '"' && quote != '\'')
        return NULL;
    const char *p = r->at + 1;
    for (; *p && *p != quote; p++) {
        if (*p == '\\' && p[1] != '\\' && p[1] != '"' && p[1] != '\'')
            return NULL;
        p += *p == '\\';
        buf_add_char(&b, *p);
    }
    if (!*p || !http_is_value(buf_str(&b)))
        return NULL;
    r->at = p + 1;
    return xstrdup(buf_cstr(&b));
}

static bool take_number(struct reading *r, uint32_t *ret)
{
    uint64_t n;
    skip_blanks(r);
    size_t digits = strspn(r->at, "0123456789");
    if (str_to_u64(str_of(r->at, digits), &n) < 0 || n > INT32_MAX)
        return false;
    r->at += digits;
    *ret = (uint32_t)n;
    return true;
}

/* duration("1.5s"), as milliseconds. */
static bool take_duration(struct reading *r, uint32_t *ret)
{
    uint64_t ms = 0;
    if (!take_word(r, "duration") || !take(r, "("))
        return false;
    AUTO_CHARS char *text = take_text(r);
    if (!text || time_parse_duration(str_from(text), &ms) < 0 || ms > INT32_MAX || !take(r, ")"))
        return false;
    *ret = (uint32_t)ms;
    return true;
}

/* ---- numbers ---- */

/* True: one comes next. */
static bool take_comparison(struct reading *r, enum log_comparison *ret, int *ret_shift)
{
    static const struct {
        const char *mark;
        enum log_comparison is;
        int shift; /* > 4 is >= 5 */
    } all[] = {{"==", LOG_EQ, 0}, {"!=", LOG_NE, 0}, {">=", LOG_GE, 0},
               {"<=", LOG_LE, 0}, {">", LOG_GE, 1},  {"<", LOG_LE, -1}};
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        if (take(r, all[i].mark)) {
            *ret = all[i].is;
            *ret_shift = all[i].shift;
            return true;
        }
    return false;
}

static struct log_expression *read_number(struct reading *r, enum log_expression_op op, bool not )
{
    enum log_comparison is;
    int shift;
    uint32_t value;
    if (!take_comparison(r, &is, &shift))
        return fail(r, "==, !=, <, <=, > or >= is expected");
    if (!(op == LOG_DURATION ? take_duration(r, &value) : take_number(r, &value)))
        return fail(r, op == LOG_DURATION ? "duration(\"500ms\") is expected"
                                          : "a whole number is expected");
    if (op == LOG_GRPC && is != LOG_EQ && is != LOG_NE)
        return fail(r, "of response.grpc_status == and != alone can be said");
    if (op == LOG_FLAGS && (value || (is != LOG_EQ && is != LOG_NE)))
        return fail(r, "of response.flags == 0 and != 0 alone can be said");
    int64_t of = (int64_t)value + shift;
    if (not &&is == LOG_GE) { /* not >= 5 is <= 4 */
        is = LOG_LE;
        of--;
    } else if (not &&is == LOG_LE) {
        is = LOG_GE;
        of++;
    } else if (not ) {
        is = is == LOG_EQ ? LOG_NE : LOG_EQ;
    }
    if (of < 0)
        return fail(r, "nothing is less than 0");
    struct log_expression *e = node(r, op);
    if (!e)
        return NULL;
    e->comparison = is;
    e->value = (uint32_t)of;
    if (op == LOG_FLAGS && is == LOG_EQ) { /* there is no filter for it */
        log_expression_free(e);
        return fail(r, "that there are no flags cannot be said");
    }
    return e;
}

/* ---- fields ---- */

static char *lower(const char *text)
{
    char *copy = xstrdup(text);
    for (char *p = copy; *p; p++)
        *p = (char)tolower((unsigned char)*p);
    return copy;
}

/* request.headers['x'], request.path and their like; owned. NULL: it is none. */
static char *take_field(struct reading *r, bool *ret_is_path)
{
    static const struct {
        const char *word, *field;
    } all[] = {
        {"request.method", ":method"},       {"request.host", ":authority"},
        {"request.path", ":path"},           {"request.url_path", ":path"},
        {"request.scheme", ":scheme"},       {"request.id", "x-request-id"},
        {"request.useragent", "user-agent"}, {"request.referer", "referer"},
    };
    *ret_is_path = false;
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        if (take_word(r, all[i].word)) {
            *ret_is_path = streq(all[i].word, "request.url_path");
            return xstrdup(all[i].field);
        }
    if (!take_word(r, "request.headers"))
        return NULL;
    if (!take(r, "["))
        return NULL;
    AUTO_CHARS char *name = take_text(r);
    if (!name || (*name != ':' && !http_is_token(str_from(name))) || !take(r, "]"))
        return NULL;
    return lower(name);
}

/* As an expression of RE2's. */
static char *quoted(const char *text)
{
    AUTO_DONE(buf) struct buf b = {0};
    for (const char *p = text; *p; p++)
        buf_addf(&b, strchr("\\.+*?()[]{}|^$", *p) ? "\\%c" : "%c", *p);
    return xstrdup(buf_cstr(&b));
}

/* A text somewhere in a field; is_path: in what stands before its query. */
static char *pattern(const char *text, bool begins, bool ends, bool is_path)
{
    AUTO_CHARS char *of = quoted(text);
    const char *any = is_path ? "[^?]*" : ".*";
    return xasprintf("%s%s%s%s", begins ? "" : any, of, ends ? "" : any,
                     is_path ? "(?:\\?.*)?" : "");
}

static struct log_expression *compare_whole(struct reading *r, struct log_expression *e,
                                            bool is_path)
{
    AUTO_CHARS char *text = take_text(r);
    if (!text)
        return fail(r, "a text is expected");
    e->how = is_path ? ROUTE_IS_LIKE : ROUTE_IS;
    e->text = is_path ? pattern(text, true, true, true) : TAKE(text);
    return e;
}

static struct log_expression *compare_part(struct reading *r, struct log_expression *e,
                                           bool is_path)
{
    enum function { STARTS, ENDS, CONTAINS, MATCHES };
    static const char *const words[] = {".startsWith", ".endsWith", ".contains", ".matches"};
    size_t i = 0;
    while (i < ARRAY_LEN(words) && !take(r, words[i]))
        i++;
    if (i == ARRAY_LEN(words))
        return fail(r, "==, !=, startsWith, endsWith, contains or matches is expected");
    AUTO_CHARS char *text = take(r, "(") ? take_text(r) : NULL;
    if (!text || !take(r, ")"))
        return fail(r, "a text in parentheses is expected");
    if (is_path && (i == MATCHES || strchr(text, '?')))
        return fail(r, "say it of request.path, which has the query");
    e->how = i == STARTS ? ROUTE_BEGINS_WITH : ROUTE_IS_LIKE;
    e->text = i == STARTS    ? TAKE(text)
              : i == MATCHES ? xasprintf(".*(?:%s).*", text)
                             : pattern(text, false, i == ENDS, is_path);
    return e;
}

static struct log_expression *compare_field(struct reading *r, struct log_expression *e,
                                            bool is_path)
{
    bool differs = take(r, "!=");
    e->not = e->not != differs;
    return differs || take(r, "==") ? compare_whole(r, e, is_path) : compare_part(r, e, is_path);
}

static struct log_expression *read_field(struct reading *r, bool not )
{
    bool is_path;
    AUTO_CHARS char *field = take_field(r, &is_path);
    if (!field)
        return fail(r, "this attribute cannot be looked at: response.code, response.flags, "
                       "response.grpc_status, request.duration, method, host, path, url_path, "
                       "scheme, headers['x'] can");
    struct log_expression *e = node(r, LOG_FIELD);
    AUTO(regex) struct regex *made = NULL;
    struct err err = {0};
    if (!e)
        return NULL;
    e->field = TAKE(field);
    e->not = not ;
    bool good = compare_field(r, e, is_path) != NULL;
    if (good && e->how == ROUTE_IS_LIKE && regex_new(str_from(e->text), &made, &err) < 0) {
        fail(r, err_text(&err));
        good = false;
    }
    if (good)
        return e;
    log_expression_free(e);
    return NULL;
}

/* The field is there. Takes it. */
static struct log_expression *is_there(struct reading *r, char *field, bool not )
{
    struct log_expression *e = node(r, LOG_FIELD);
    if (!e) {
        free(field);
        return NULL;
    }
    e->field = field;
    e->how = ROUTE_IS_THERE;
    e->text = xstrdup("");
    e->not = not ;
    return e;
}

/* ---- the whole ---- */

static struct log_expression *read_or(struct reading *r, bool not );

/* 'x' in request.headers */
static struct log_expression *read_membership(struct reading *r, bool not )
{
    AUTO_CHARS char *name = take_text(r);
    if (!name || !http_is_token(str_from(name)) || !take_word(r, "in") ||
        !take_word(r, "request.headers"))
        return fail(r, "'name' in request.headers is expected");
    return is_there(r, lower(name), not );
}

static struct log_expression *read_has(struct reading *r, bool not )
{
    bool is_path;
    char *field = take(r, "(") ? take_field(r, &is_path) : NULL;
    if (!field || !take(r, ")")) {
        free(field);
        return fail(r, "has(request.headers['x']) is expected");
    }
    return is_there(r, field, not );
}

static struct log_expression *read_one(struct reading *r, bool not )
{
    if (take(r, "(")) {
        struct log_expression *e = read_or(r, not );
        if (!e || take(r, ")"))
            return e;
        log_expression_free(e);
        return fail(r, ") is expected");
    }
    skip_blanks(r);
    if (strncmp(r->at, "!=", 2) != 0 && take(r, "!")) {
        if (r->depth == LOG_EXPRESSION_DEPTH)
            return fail(r, "it is nested deeper than 16");
        r->depth++;
        struct log_expression *e = read_one(r, !not );
        r->depth--;
        return e;
    }
    if (!not &&take_word(r, "true"))
        return node(r, LOG_ANY);
    if (take_word(r, "has"))
        return read_has(r, not );
    if (take_word(r, "response.code"))
        return read_number(r, LOG_CODE, not );
    if (take_word(r, "request.duration"))
        return read_number(r, LOG_DURATION, not );
    if (take_word(r, "response.grpc_status"))
        return read_number(r, LOG_GRPC, not );
    if (take_word(r, "response.flags"))
        return read_number(r, LOG_FLAGS, not );
    skip_blanks(r);
    return *r->at == '"' || *r->at == '\'' ? read_membership(r, not ) : read_field(r, not );
}

/* One, or several with that mark between them. Takes first. */
static struct log_expression *join(struct reading *r, enum log_expression_op op,
                                   struct log_expression *first, struct log_expression *second)
{
    struct log_expression *e = first && second ? node(r, op) : NULL;
    if (!e) {
        log_expression_free(first);
        log_expression_free(second);
        return NULL;
    }
    e->of[0] = first;
    e->of[1] = second;
    return e;
}

static struct log_expression *read_and(struct reading *r, bool not )
{
    struct log_expression *e = read_one(r, not );
    while (e && take(r, "&&"))
        e = join(r, not ? LOG_OR : LOG_AND, e, read_one(r, not ));
    return e;
}

static struct log_expression *read_or(struct reading *r, bool not )
{
    if (r->depth == LOG_EXPRESSION_DEPTH)
        return fail(r, "it is nested deeper than 16");
    r->depth++;
    struct log_expression *e = read_and(r, not );
    while (e && take(r, "||"))
        e = join(r, not ? LOG_AND : LOG_OR, e, read_and(r, not ));
    r->depth--;
    return e;
}

int log_expression_parse(const char *text, struct log_expression **ret, struct err *reterr)
{
    struct err err = {0};
    struct reading r = {.text = text, .at = text, .err = &err};
    if (strlen(text) > LOG_EXPRESSION_BYTES_MAX)
        return err_set(reterr, -EINVAL, NULL, "it is longer than %d bytes",
                       LOG_EXPRESSION_BYTES_MAX);
    struct log_expression *e = read_or(&r, false);
    skip_blanks(&r);
    if (e && *r.at) {
        log_expression_free(e);
        e = fail(&r, "&& or || is expected");
    }
    if (!e)
        return err_set(reterr, -EINVAL, NULL, "%s", err_text(&err));
    *ret = e;
    return 0;
}
