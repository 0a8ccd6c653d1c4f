/* Prints the table of annotations of docs/ingress-nginx.md between its marks, with --codes the list
 * of docs/analyze.md; with --check FILE: fails if the file has another one. */
#include <stdio.h>

#include "model/analysis.h"
#include "model/ingress_annotations.h"

static const struct {
    const char *state, *words;
} states[] = {
    {"read", "works"},
    {"protects", "works; it protects: a value that is refused makes the paths of the Ingress "
                 "answer 503, an Event says so"},
    {"later", "not yet: its default is in force, an Event says so"},
    {"guards", "not yet, and it protects: the paths of the Ingress answer 503, an Event says so"},
    {"needless", "taken, nothing to do: "},
    {"refused", "refused: text of another server's configuration; an Event says so"},
};

static void format_codes(struct buf *b)
{
    const struct analysis_code *c;
    buf_addf(b, "<!-- codes -->\n");
    for (size_t n = 0; (c = analysis_code_row(n)); n++)
        buf_addf(b, "### %s\n**%s** (%s; %s). %s\n\n", c->code, c->id, c->kind, c->severity,
                 c->what);
    buf_addf(b, "<!-- end -->\n");
}

static void format_annotations(struct buf *b)
{
    const char *name, *state;
    buf_addf(b, "<!-- table -->\n| annotation | state |\n|---|---|\n");
    for (size_t n = 0; (name = ingress_annotation_row(n, &state)); n++)
        for (size_t i = 0; i < ARRAY_LEN(states); i++)
            if (streq(states[i].state, state))
                buf_addf(b, "| `%s` | %s%s |\n", name, states[i].words,
                         ingress_annotation_needless(name) ? ingress_annotation_needless(name)
                                                           : "");
    buf_addf(b, "<!-- end -->\n");
}

static bool file_has(const char *path, struct str text)
{
    AUTO_DONE(buf) struct buf all = {0};
    char chunk[4096];
    size_t n;
    FILE *f = fopen(path, "r");
    if (!f)
        return false;
    while ((n = fread(chunk, 1, sizeof(chunk), f)) > 0)
        buf_add(&all, chunk, n);
    fclose(f);
    return str_contains(buf_str(&all), text);
}

int main(int argc, char **argv)
{
    AUTO_DONE(buf) struct buf b = {0};
    bool codes = argc > 1 && streq(argv[1], "--codes");
    argc -= codes;
    argv += codes;
    if (codes)
        format_codes(&b);
    else
        format_annotations(&b);
    if (argc == 3 && streq(argv[1], "--check")) {
        if (file_has(argv[2], buf_str(&b)))
            return EXIT_SUCCESS;
        fprintf(stderr, "%s: its table is not what this program prints\n", argv[2]);
        return EXIT_FAILURE;
    }
    fputs(buf_cstr(&b), stdout);
    return EXIT_SUCCESS;
}
