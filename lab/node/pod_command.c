/* Which words a container runs: the manifest's command and args, the image's, or both.
 *
 * An image that we stand in for has our program, not the original's: a command that is not on this
 * machine was meant for the original and is passed over, with a Warning. What it says behind the
 * program's name is handed on where the stand-in understands its original's arguments. */
#include <stdio.h>
#include <unistd.h>

#include "lab/node/container.h"
#include "lab/node/node_priv.h"

/* A volume may bring what the host has not. */
static bool in_mount(const struct pod_container *c, struct str path)
{
    json_t *mount;
    size_t i;
    json_array_foreach(json_at(c->spec, "volumeMounts"), i, mount)
    {
        const char *at = json_key_str(mount, "mountPath");
        if (at && str_starts(path, str_from(at)))
            return true;
    }
    return false;
}

static bool is_program(const struct pod_container *c, struct str directory, const char *name)
{
    char path[4096];
    if (str_is(directory, CONTAINER_BIN)) /* the node's own programs, seen there */
        directory = str_from(c->pod->node->options->program_dir);
    snprintf(path, sizeof(path), STR_FMT "/%s", STR_ARG(directory), name);
    return in_mount(c, str_from(path)) || access(path, X_OK) == 0;
}

static bool has_program(const struct pod_container *c, const struct env *e, const char *name)
{
    const char *path = env_get(e, "PATH"), *cwd = json_key_str(c->spec, "workingDir");
    if (*name == '/')
        return is_program(c, STR(""), name + 1);
    if (strchr(name, '/'))
        return is_program(c, str_from(cwd ? cwd : ""), name);
    for (struct str rest = str_from(path ? path : ""), one; rest.p && rest.n;) {
        one = str_cut(rest, ':', &rest);
        if (one.n && is_program(c, one, name))
            return true;
    }
    return false;
}

/* The command was meant for the original; what is left of it are words for a mode. */
static void tell_passed_over(struct pod_container *c, const struct image *image,
                             const char *program)
{
    pod_event(
        c->pod, "Warning", "CommandIgnored",
        "%s stands in for image \"%s\" and has no program \"%s\": the command is passed over; "
        "fairlead lab image '%s=COMMAND' says what to run instead",
        image->command[0], json_key_str(c->spec, "image"), program, image->name);
}

char **pod_container_argv(struct pod_container *c, const struct image *image, const struct env *e)
{
    size_t n_command, n_args;
    VEC(char *) words = {0}; /* for the image's own command */
    char **command = pod_expand_words(e, json_at(c->spec, "command"), &n_command);
    char **args = pod_expand_words(e, json_at(c->spec, "args"), &n_args);
    AUTO_CHARS char *reference = xasprintf("--standing-in-for=%s", json_key_str(c->spec, "image"));
    bool passed_over = n_command && image->stands_in && !has_program(c, e, command[0]);
    if (passed_over)
        tell_passed_over(c, image, command[0]);
    if (image->is_mode)
        vec_push(&words, reference);
    for (size_t i = 1; i < n_command && image->is_mode; i++)
        vec_push(&words, command[i]);
    for (size_t i = 0; i < n_args; i++)
        vec_push(&words, args[i]);
    char **argv = passed_over || !n_command ? image_argv(image, NULL, 0, words.v, words.n)
                                            : image_argv(image, command, n_command, args, n_args);
    vec_done(&words);
    argv_free(command);
    argv_free(args);
    return argv;
}
