/* fairlead lab image: says which command stands for an image while the lab runs.
 *
 * Writes the file that the nodes watch (IMAGE_FILE of the lab's directory); what it says goes
 * before
 * --image of `lab up` and before the built-in table, for containers that start from then on. It
 * knows nothing of nodes and pods. */
#include <errno.h>
#include <stdio.h>

#include "base/program.h"
#include "lab/command.h"
#include "lab/image.h"
#include "lab/state_dir.h"

enum { IMAGE_FILE_BYTES_MAX = 256 * 1024 };

/* The name of a line, NAME=COMMAND. */
static struct str name_of(struct str line)
{
    struct str command;
    return str_cut(line, '=', &command);
}

/* The lines that are there without those that are said anew, then these. */
static int merge(struct str old, const struct arg_list *specs, struct buf *ret, struct err *reterr)
{
    while (old.p && old.n) {
        struct str line = str_cut(old, '\n', &old);
        bool again = !line.n;
        for (size_t i = 0; i < specs->n; i++)
            again = again || str_eq(name_of(line), name_of(str_from(specs->v[i])));
        if (!again)
            buf_addf(ret, STR_FMT "\n", STR_ARG(line));
    }
    for (size_t i = 0; i < specs->n; i++)
        buf_addf(ret, "%s\n", specs->v[i]);
    return ret->n <= IMAGE_FILE_BYTES_MAX
               ? 0
               : err_set(reterr, -E2BIG, NULL,
                         "more than %d bytes of images: take some out of the "
                         "lab's file \"" IMAGE_FILE "\"",
                         IMAGE_FILE_BYTES_MAX);
}

static int check(const struct arg_list *specs, struct err *reterr)
{
    struct image_table t = {0};
    int r = 0;
    for (size_t i = 0; i < specs->n && r == 0; i++) {
        r = image_table_add(&t, specs->v[i], reterr);
        if (r == 0 && strchr(specs->v[i], '\n'))
            r = err_set(reterr, -EINVAL, NULL, "%s: one line only", specs->v[i]);
    }
    image_table_done(&t);
    return r;
}

static int run(const struct state_dir *d, const char *lab, const struct arg_list *specs)
{
    AUTO_DONE(buf) struct buf old = {0}, new = {0};
    struct err err = {0};
    if (!state_dir_exists(d))
        return program_fail(EXIT_FAILED, "fairlead lab up", "there is no lab %s", lab);
    int r = state_dir_read(d, IMAGE_FILE, &old, &err);
    if (r < 0 && r != -ENOENT)
        return program_fail(EXIT_FAILED, NULL, "lab %s: %s", lab, err_text(&err));
    if (!specs->n) {
        fwrite(old.p ? old.p : "", 1, old.n, stdout);
        return EXIT_OK;
    }
    if (merge(buf_str(&old), specs, &new, &err) < 0 ||
        state_dir_write(d, IMAGE_FILE, buf_str(&new), &err) < 0)
        return program_fail(EXIT_FAILED, NULL, "lab %s: %s", lab, err_text(&err));
    for (size_t i = 0; i < specs->n; i++)
        printf("image " STR_FMT " set\n", STR_ARG(name_of(str_from(specs->v[i]))));
    return EXIT_OK;
}

int image_command(int argc, char **argv)
{
    const char *name = "lab";
    struct arg args[] = {
        {"name", 0, ARG_STRING, &name, "NAME", "the lab's name (default lab)", 0, 0, false},
        {.name = NULL},
    };
    const struct program p = {"fairlead lab image",
                              "says which command stands for an image, or shows what was said",
                              "[NAME=COMMAND…]",
                              "  fairlead lab image 'shop/web:1.2=fairlead-echo --http 80'\n"
                              "  fairlead lab image\n",
                              args,
                              true};
    AUTO_DONE(arg_list) struct arg_list rest = {0};
    struct err err = {0};
    struct state_dir d;
    int code = program_start(&p, argc, argv, &rest, NULL);
    if (code >= 0)
        return code;
    if (check(&rest, &err) < 0)
        return program_fail(EXIT_USAGE_ERROR, "fairlead lab image --help", "%s", err_text(&err));
    state_dir_of(name, &d);
    code = run(&d, name, &rest);
    state_dir_done(&d);
    return code;
}
