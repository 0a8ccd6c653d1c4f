#include "cli/cli_output.h"

#include <stdio.h>

#include "codec/yaml.h"

int cli_check_output(const char *output, const char *plain)
{
    if (streq(output, plain) || streq(output, "json") || streq(output, "yaml"))
        return -1;
    AUTO_CHARS char *hint = xasprintf("%s, json or yaml", plain);
    return program_fail(EXIT_USAGE_ERROR, hint, "-o: \"%s\" is not known", output);
}

int cli_json_file(const char *path, const char *hint, json_t **ret)
{
    enum { FILE_BYTES_MAX = 512 * 1024 * 1024 };
    AUTO_DONE(buf) struct buf b = {.cap = FILE_BYTES_MAX};
    struct err err = {0};
    char piece[65536];
    size_t n;
    FILE *f = streq(path, "-") ? stdin : fopen(path, "re");
    if (!f)
        return program_fail(EXIT_FAILED, NULL, "%s: no such file", path);
    while ((n = fread(piece, 1, sizeof(piece), f)) > 0)
        buf_add(&b, piece, n);
    if (f != stdin)
        fclose(f);
    if (b.failed || json_parse(buf_str(&b), 0, NULL, ret, &err) < 0)
        return program_fail(EXIT_FAILED, hint, "%s: %s", path,
                            b.failed ? "larger than 512 MiB" : err_text(&err));
    return -1;
}

void cli_print_object(const char *output, const json_t *j)
{
    AUTO_DONE(buf) struct buf text = {0};
    if (streq(output, "yaml")) {
        yaml_write(&text, j);
    } else {
        json_write_indented(&text, j);
        buf_add_char(&text, '\n');
    }
    fputs(buf_cstr(&text), stdout);
}

void cli_print_objects(const char *output, const json_t *objects)
{
    json_t *one;
    size_t i;
    if (streq(output, "json")) {
        AUTO_JSON json_t *list =
            json_pack("{s:s,s:s,s:O}", "apiVersion", "v1", "kind", "List", "items", objects);
        cli_print_object("json", list);
        return;
    }
    json_array_foreach((json_t *)(uintptr_t)objects, i, one)
    {
        if (i)
            puts("---");
        cli_print_object("yaml", one);
    }
}

void cli_table_add(struct cli_table *t, const char *cell)
{
    vec_push(&t->cells, xstrdup(str_empty(cell) ? "-" : cell));
}

void cli_table_addf(struct cli_table *t, const char *fmt, ...)
{
    AUTO_DONE(buf) struct buf b = {0};
    va_list ap;
    va_start(ap, fmt);
    buf_addv(&b, fmt, ap);
    va_end(ap);
    cli_table_add(t, buf_cstr(&b));
}

static size_t columns_of(const struct cli_table *t)
{
    size_t n = 0;
    while (t->names[n])
        n++;
    return n;
}

static int by_cells(const void *a, const void *b, void *columns)
{
    char *const *x = a, *const *y = b;
    int d = 0;
    for (size_t i = 0; !d && i < *(size_t *)columns; i++)
        d = strcmp(x[i], y[i]);
    return d;
}

static void print_row(const char *const *cells, const size_t *widths, size_t n)
{
    for (size_t i = 0; i < n; i++)
        printf("%-*s%s", i + 1 < n ? (int)widths[i] : 0, cells[i], i + 1 < n ? "   " : "\n");
}

void cli_table_print(struct cli_table *t, bool sort)
{
    size_t n = columns_of(t);
    size_t *widths = xcalloc(n, sizeof(*widths));
    for (size_t i = 0; i < n; i++)
        widths[i] = strlen(t->names[i]);
    for (size_t i = 0; i < t->cells.n; i++)
        widths[i % n] = MAX(widths[i % n], strlen(t->cells.v[i]));
    if (sort && t->cells.n)
        qsort_r(t->cells.v, t->cells.n / n, n * sizeof(*t->cells.v), by_cells, &n);
    print_row(t->names, widths, n);
    for (size_t i = 0; i + n <= t->cells.n; i += n)
        print_row((const char *const *)&t->cells.v[i], widths, n);
    VEC_FOREACH (cell, &t->cells)
        free(*cell);
    vec_done(&t->cells);
    free(widths);
}
