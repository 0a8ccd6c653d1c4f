/* The grammar: words with blanks between them, in quotes or not, up to ";" or "{"; "#" to the end
 * of the line is a comment; "}" ends a block. */
#include "model/snippet.h"

#include <ctype.h>
#include <errno.h>

#include "base/buf.h"
#include "base/vec.h"

struct reader {
    struct str rest;
    unsigned line, depth;
    struct snippet *to;
    struct err *err;
};

static int fail(struct reader *r, int code, const char *what)
{
    return err_set(r->err, code, NULL, "line %u: %s", r->line, what);
}

static char look(const struct reader *r)
{
    return r->rest.n ? *r->rest.p : '\0';
}

static void step(struct reader *r)
{
    r->line += look(r) == '\n';
    r->rest = str_sub(r->rest, 1, r->rest.n);
}

static void skip_blanks(struct reader *r)
{
    while (r->rest.n && (isspace((unsigned char)look(r)) || look(r) == '#'))
        if (look(r) == '#')
            while (r->rest.n && look(r) != '\n')
                step(r);
        else
            step(r);
}

/* A word; NULL: there is none here, or (told) its quote does not end. */
static char *take_word(struct reader *r, int *ret_code)
{
    AUTO_DONE(buf) struct buf b = {0};
    char quote = look(r) == '"' || look(r) == '\'' ? look(r) : '\0';
    *ret_code = 0;
    if (quote)
        step(r);
    while (r->rest.n && (quote ? look(r) != quote
                               : !isspace((unsigned char)look(r)) && !memchr(";{}", look(r), 3))) {
        if (look(r) == '\\' && r->rest.n > 1 && strchr("\"'\\ ;{}", r->rest.p[1]) && r->rest.p[1])
            step(r);
        else if (look(r) == '$' && r->rest.n > 1 && r->rest.p[1] == '{' && !quote) {
            /* ${name} is no block */
            while (r->rest.n && look(r) != '}') {
                buf_add_char(&b, look(r));
                step(r);
            }
            if (!r->rest.n)
                break;
        }
        buf_add_char(&b, look(r) ? look(r) : '?');
        step(r);
    }
    if (quote && !r->rest.n) {
        *ret_code = fail(r, -EINVAL, "a quote does not end");
        return NULL;
    }
    if (quote)
        step(r);
    return b.n || quote ? buf_take_cstr(&b) : NULL;
}

static void directive_done(struct snippet_directive *d)
{
    for (size_t i = 0; i < d->n_args; i++)
        free(d->args[i]);
    free(d->args);
    free(d->name);
}

static void add_word(struct snippet_directive *d, char *word)
{
    if (!d->name) {
        d->name = word;
    } else if (d->n_args == SNIPPET_WORDS_MAX) {
        free(word);
    } else {
        if (!d->args)
            d->args = xcalloc(SNIPPET_WORDS_MAX, sizeof(*d->args));
        d->args[d->n_args++] = word;
    }
}

/* Past a text in quotes, or a comment of two dashes. */
static void skip_lua_text(struct reader *r)
{
    char quote = look(r);
    bool comment = quote == '-';
    do {
        if (look(r) == '\\' && !comment && r->rest.n > 1)
            step(r);
        step(r);
    } while (r->rest.n && look(r) != (comment ? '\n' : quote));
}

/* Another language up to its brace. */
static int skip_lua(struct reader *r)
{
    for (unsigned depth = 1; depth; step(r)) {
        if (look(r) == '"' || look(r) == '\'' || str_starts(r->rest, STR("--")))
            skip_lua_text(r);
        if (!r->rest.n)
            return fail(r, -EINVAL, "a block of Lua does not end");
        depth += look(r) == '{';
        depth -= look(r) == '}';
    }
    return 0;
}

static int end_directive(struct reader *r, struct snippet_directive *d)
{
    bool opens = look(r) == '{', lua = d->name && str_ends(str_from(d->name), STR("_by_lua_block"));
    step(r);
    if (!d->name)
        return opens ? fail(r, -EINVAL, "a block has no name") : 0;
    if (r->to->n == SNIPPET_DIRECTIVES_MAX)
        return fail(r, -E2BIG, "more than 1000 directives");
    if (opens && r->depth == SNIPPET_DEPTH_MAX)
        return fail(r, -E2BIG, "blocks in more than 16 blocks");
    d->depth = r->depth;
    d->block = opens;
    r->depth += opens && !lua;
    vec_push(r->to, *d);
    *d = (struct snippet_directive){0};
    return opens && lua ? skip_lua(r) : 0;
}

static int read_directive(struct reader *r, struct snippet_directive *d)
{
    int code = 0;
    for (;;) {
        skip_blanks(r);
        if (!r->rest.n || look(r) == '}')
            return d->name ? fail(r, -EINVAL, "a directive does not end with ;") : 0;
        if (look(r) == ';' || look(r) == '{')
            return end_directive(r, d);
        if (!d->name)
            d->line = r->line;
        char *word = take_word(r, &code);
        if (code < 0)
            return code;
        if (word)
            add_word(d, word);
    }
}

int snippet_parse(struct str text, struct snippet *ret, struct err *reterr)
{
    struct reader r = {.rest = text, .line = 1, .to = ret, .err = reterr};
    int code = 0;
    if (text.n > SNIPPET_BYTES_MAX)
        return fail(&r, -E2BIG, "larger than 64 KiB");
    for (skip_blanks(&r); code == 0 && r.rest.n; skip_blanks(&r)) {
        struct snippet_directive d = {0};
        if (look(&r) != '}') {
            code = read_directive(&r, &d);
        } else if (!r.depth) {
            code = fail(&r, -EINVAL, "a } without its {");
        } else {
            r.depth--;
            step(&r);
        }
        directive_done(&d);
    }
    return code == 0 && r.depth ? fail(&r, -EINVAL, "a block does not end") : code;
}

void snippet_done(struct snippet *s)
{
    VEC_FOREACH (d, s)
        directive_done(d);
    vec_done(s);
}
