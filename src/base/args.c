/* The flag parser of all programs. Owns nothing: values are borrowed from argv. */
#include "base/args.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>

#include "base/time.h"

static unsigned edit_distance(const char *a, const char *b)
{
    enum { LONGEST = 40 };
    size_t la = strlen(a), lb = strlen(b);
    unsigned row[LONGEST + 1];
    if (la > LONGEST || lb > LONGEST)
        return 99;
    for (size_t j = 0; j <= lb; j++)
        row[j] = (unsigned)j;
    for (size_t i = 1; i <= la; i++) {
        unsigned diagonal = row[0];
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= lb; j++) {
            unsigned above = row[j];
            unsigned best = diagonal + (a[i - 1] != b[j - 1]);
            best = MIN(best, above + 1);
            best = MIN(best, row[j - 1] + 1);
            row[j] = best;
            diagonal = above;
        }
    }
    return row[lb];
}

const char *args_nearest(const char *word, const char *const *names, size_t n)
{
    const char *best = NULL;
    unsigned best_distance = 3;
    for (size_t i = 0; i < n; i++) {
        unsigned d = edit_distance(word, names[i]);
        if (d < best_distance && d < strlen(word)) {
            best = names[i];
            best_distance = d;
        }
    }
    return best;
}

static struct arg *arg_find(struct arg *table, struct str name, char letter)
{
    for (struct arg *a = table; a->name; a++)
        if (letter ? a->letter == letter : str_is(name, a->name))
            return a;
    return NULL;
}

static int arg_unknown(struct arg *table, const char *word, struct err *reterr)
{
    VEC(const char *) names = {0};
    for (struct arg *a = table; a->name; a++)
        vec_push(&names, a->name);
    AUTO_CHARS char *bare =
        str_dup(str_cut(str_from(word + strspn(word, "-")), '=', &(struct str){0}));
    const char *near = args_nearest(bare, names.v, names.n);
    int r;
    if (near)
        r = err_set(reterr, -EINVAL, NULL, "unknown flag %s (did you mean --%s?)", word, near);
    else
        r = err_set(reterr, -EINVAL, NULL, "unknown flag %s", word);
    vec_done(&names);
    return r;
}

static int arg_set_int(struct arg *a, const char *value, struct err *reterr)
{
    int64_t v;
    if (str_to_i64(str_from(value), &v) < 0)
        return err_set(reterr, -EINVAL, NULL, "--%s: \"%s\" is not a number", a->name, value);
    if ((a->min || a->max) && (v < a->min || v > a->max))
        return err_set(reterr, -EINVAL, NULL, "--%s: %lld is not in %lld..%lld", a->name,
                       (long long)v, (long long)a->min, (long long)a->max);
    *(int64_t *)a->value = v;
    return 0;
}

static int arg_set(struct arg *a, const char *value, struct err *reterr)
{
    a->set = true;
    switch (a->type) {
    case ARG_STRING:
        *(const char **)a->value = value;
        return 0;
    case ARG_STRINGS: {
        struct arg_list *list = a->value;
        vec_push(list, value);
        return 0;
    }
    case ARG_BOOL:
        if (!streq(value, "true") && !streq(value, "false"))
            return err_set(reterr, -EINVAL, NULL, "--%s: \"%s\" is neither true nor false", a->name,
                           value);
        *(bool *)a->value = streq(value, "true");
        return 0;
    case ARG_INT:
        return arg_set_int(a, value, reterr);
    case ARG_DURATION:
        if (time_parse_duration(str_from(value), a->value) < 0)
            return err_set(reterr, -EINVAL, NULL,
                           "--%s: \"%s\" is not a duration such as 500ms, 30s, 2m", a->name, value);
        return 0;
    }
    return -EINVAL;
}

static int args_parse_one(struct arg *table, int argc, char **argv, int *at, struct err *reterr)
{
    const char *word = argv[*at];
    struct arg *a;
    const char *value = NULL;
    if (word[1] == '-') {
        struct str rest;
        struct str name = str_cut(str_from(word + 2), '=', &rest);
        value = rest.p;
        a = arg_find(table, name, 0);
    } else {
        a = arg_find(table, (struct str){0}, word[1]);
        /* -it is -i -t: switches may stand together before the last letter. */
        for (; a && a->type == ARG_BOOL && word[2] && word[2] != '='; word++) {
            int r = arg_set(a, "true", reterr);
            if (r < 0)
                return r;
            a = arg_find(table, (struct str){0}, word[2]);
        }
        if (a && word[2])
            value = word[2] == '=' ? word + 3 : word + 2;
    }
    if (!a)
        return arg_unknown(table, argv[*at], reterr);
    if (!value && a->type == ARG_BOOL)
        value = "true";
    if (!value) {
        if (*at + 1 >= argc)
            return err_set(reterr, -EINVAL, NULL, "--%s needs a value", a->name);
        value = argv[++*at];
    }
    return arg_set(a, value, reterr);
}

int args_parse(struct arg *table, int argc, char **argv, bool stop_at_word,
               struct arg_list *ret_rest, size_t *ret_dashes, struct err *reterr)
{
    bool raw = false;
    if (ret_dashes)
        *ret_dashes = SIZE_MAX;
    for (int i = 1; i < argc; i++) {
        if (!raw && streq(argv[i], "--")) {
            raw = true;
            if (ret_dashes)
                *ret_dashes = ret_rest->n;
        } else if (!raw && argv[i][0] == '-' && argv[i][1]) {
            int r = args_parse_one(table, argc, argv, &i, reterr);
            if (r < 0)
                return r;
        } else {
            vec_push(ret_rest, argv[i]);
            raw = raw || stop_at_word;
        }
    }
    return 0;
}

void args_print_help(const struct arg *table)
{
    for (const struct arg *a = table; a->name; a++) {
        char left[80];
        char letter[8] = "    ";
        if (a->letter)
            snprintf(letter, sizeof(letter), "-%c, ", a->letter);
        snprintf(left, sizeof(left), "%s--%s%s%s", letter, a->name, a->meta ? " " : "",
                 a->meta ? a->meta : "");
        printf("  %-34s %s\n", left, a->help);
    }
}

void args_print_names(const struct arg *table)
{
    for (const struct arg *a = table; a->name; a++)
        printf("--%s\t%s\n", a->name, a->help);
}
