/* Common start of all programs. Prints to stdout what was asked for (--help, --version) and to
 * stderr what is wrong. */
#include "base/program.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

static int usage_error(const struct program *p, const struct err *err)
{
    fprintf(stderr, "error: %s: %s\nhint: %s --help\n", p->name, err_text(err), p->name);
    return EXIT_USAGE_ERROR;
}

static void print_help(const struct program *p, const struct arg *args)
{
    printf("%s: %s\n\nUsage:\n  %s %s\n", p->name, p->summary, p->name, p->usage);
    if (p->examples)
        printf("\nExamples:\n%s", p->examples);
    printf("\nFlags:\n");
    args_print_help(args);
    printf("\nExit codes: 0 ok, 1 failed, 2 findings, 64 usage, 69 server unreachable, 124 timeout "
           "(docs/cli.md)\n");
}

int program_start(const struct program *p, int argc, char **argv, struct arg_list *ret_rest,
                  size_t *ret_dashes)
{
    const char *level_text = "info", *format_text = "logfmt";
    bool help = false, version = false;
    enum log_level level;
    enum log_format format;
    struct err err = {0};
    const struct arg common[] = {
        {"log-level", 0, ARG_STRING, &level_text, "LEVEL",
         "debug, info, warn or error (default info)", 0, 0, false},
        {"log-format", 0, ARG_STRING, &format_text, "FORMAT", "logfmt or json (default logfmt)", 0,
         0, false},
        {"help", 'h', ARG_BOOL, &help, NULL, "this text", 0, 0, false},
        {"version", 0, ARG_BOOL, &version, NULL, "print the version", 0, 0, false},
        {.name = NULL},
    };
    AUTO_DONE(arg_list) struct arg_list words = {0}; /* that nobody wants */
    VEC(struct arg) all = {0};
    size_t own = 0;
    while (p->args && p->args[own].name)
        vec_push(&all, p->args[own++]);
    for (size_t i = 0; i < ARRAY_LEN(common); i++)
        vec_push(&all, common[i]);
    int r = args_parse(all.v, argc, argv, p->stop_at_word, ret_rest ? ret_rest : &words, ret_dashes,
                       &err);
    for (size_t i = 0; i < own; i++)
        p->args[i].set = all.v[i].set;
    int code = -1;
    if (argc == 2 && streq(argv[1], PROGRAM_LIST_FLAGS)) {
        args_print_names(all.v);
        code = EXIT_OK;
    } else if (help) {
        print_help(p, all.v);
        code = EXIT_OK;
    } else if (version) {
        printf("%s %s\n", p->name, FAIRLEAD_VERSION);
        code = EXIT_OK;
    } else if (r < 0) {
        code = usage_error(p, &err);
    } else if (words.n) {
        err_set(&err, -EINVAL, NULL, "unexpected argument \"%s\"", words.v[0]);
        code = usage_error(p, &err);
    } else if (log_level_parse(str_from(level_text), &level) < 0) {
        err_set(&err, -EINVAL, NULL, "--log-level: \"%s\" is none of debug, info, warn, error",
                level_text);
        code = usage_error(p, &err);
    } else if (log_format_parse(str_from(format_text), &format) < 0) {
        err_set(&err, -EINVAL, NULL, "--log-format: \"%s\" is neither logfmt nor json",
                format_text);
        code = usage_error(p, &err);
    } else {
        log_setup(p->name, level, format);
    }
    vec_done(&all);
    return code;
}

int program_fail(int code, const char *hint, const char *fmt, ...)
{
    va_list ap;
    fputs("error: ", stderr);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    if (hint)
        fprintf(stderr, "hint: %s\n", hint);
    return code;
}
