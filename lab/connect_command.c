/* fairlead lab connect: two labs of this machine reach one another's nodes, API servers and
 * balancers, as clusters of one mesh do. Their pods stay apart: they have the same addresses. */
#include <errno.h>
#include <stdio.h>

#include "base/program.h"
#include "lab/command.h"
#include "lab/lab_record.h"

static int read_lab(const char *name, struct lab_record *ret, struct err *reterr)
{
    struct state_dir d;
    state_dir_of(name, &d);
    int r = lab_record_read(&d, ret, reterr);
    state_dir_done(&d);
    return r;
}

static int connect_labs(const struct lab_record *a, const struct lab_record *b, struct err *reterr)
{
    const struct lab_record *records[] = {a, b};
    const char *names[2][FABRIC_NODES_MAX];
    struct fabric_side sides[2];
    for (size_t i = 0; i < 2; i++) {
        size_t n = 0;
        VEC_FOREACH (node, &records[i]->nodes)
            if (n < FABRIC_NODES_MAX)
                names[i][n++] = node->name;
        sides[i] = (struct fabric_side){&records[i]->plan, names[i], n};
    }
    return fabric_connect(&sides[0], &sides[1], reterr);
}

static int run(const char *one, const char *two)
{
    AUTO_DONE(lab_record) struct lab_record a = {0}, b = {0};
    struct err err = {0};
    if (streq(one, two))
        return program_fail(EXIT_USAGE_ERROR, "fairlead lab connect --help",
                            "%s is one lab: name two", one);
    int r = read_lab(one, &a, &err);
    const char *missing = r < 0 ? one : two;
    r = r < 0 ? r : read_lab(two, &b, &err);
    if (r < 0)
        return program_fail(EXIT_FAILED, "fairlead lab up --name NAME", "lab %s: %s", missing,
                            r == -ENOENT ? "is not there" : err_text(&err));
    if (connect_labs(&a, &b, &err) < 0)
        return program_fail(EXIT_FAILED, "fairlead lab status", "labs %s and %s: %s", one, two,
                            err_text(&err));
    printf("%s and %s reach one another\n", one, two);
    return EXIT_OK;
}

int connect_command(int argc, char **argv)
{
    struct arg args[] = {{.name = NULL}};
    const struct program p = {"fairlead lab connect",
                              "lets two labs reach one another: their nodes, API servers and "
                              "balancers",
                              "NAME NAME",
                              "  fairlead lab connect east west\n"
                              "  fairlead lab connect lab other\n",
                              args,
                              true};
    AUTO_DONE(arg_list) struct arg_list rest = {0};
    int code = program_start(&p, argc, argv, &rest, NULL);
    if (code >= 0)
        return code;
    if (rest.n != 2)
        return program_fail(EXIT_USAGE_ERROR, "fairlead lab connect --help", "name two labs");
    return run(rest.v[0], rest.v[1]);
}
