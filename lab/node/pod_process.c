/* Further processes of a container that runs: hooks, probes, exec.
 *
 * They get what its own program got: variables, directory, user, namespaces. Who starts one owns
 * its pid, and ends it; nothing here knows why it runs. */
#include <errno.h>

#include "lab/node/container.h"
#include "lab/node/node_priv.h"

char **pod_expand_words(const struct env *e, const json_t *list, size_t *ret_n)
{
    VEC(char *) words = {0};
    json_t *item;
    size_t i;
    json_array_foreach((json_t *)(uintptr_t)list, i, item)
    {
        const char *word = json_string_value(item) ? json_string_value(item) : "";
        vec_push(&words, e ? env_expand(e, word) : xstrdup(word));
    }
    *ret_n = words.n;
    vec_push(&words, NULL);
    return words.v;
}

struct container_spec pod_container_join(struct pod_container *c, char *const *argv)
{
    struct container_spec s = {.argv = argv,
                               .envp = c->envp,
                               .cwd = json_key_str(c->spec, "workingDir"),
                               .in = -1,
                               .out = -1,
                               .err = -1,
                               .join = c->pid};
    pod_security_apply(c, &s);
    return s;
}

int pod_container_run(struct pod_container *c, const json_t *command, const struct env *e,
                      pid_t *ret_pid, struct err *reterr)
{
    size_t n;
    if (!c->pid)
        return err_set(reterr, -ESRCH, NULL, "the container does not run");
    char **argv = pod_expand_words(e, command, &n);
    struct container_spec s = pod_container_join(c, argv);
    int r = n ? container_spawn(&s, ret_pid, reterr)
              : err_set(reterr, -EINVAL, NULL, "the command is empty");
    argv_free(argv);
    return r;
}
