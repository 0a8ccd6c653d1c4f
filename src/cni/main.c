/* fairlead-cni: what a container runtime runs when it makes a pod's network. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/program.h"
#include "cni/cni_config.h"
#include "cni/cni_plugin.h"

static int read_input(struct buf *ret)
{
    char part[4096];
    ssize_t n;
    while ((n = read(STDIN_FILENO, part, sizeof(part))) != 0) {
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n > 0)
            buf_add(ret, part, (size_t)n);
        if (ret->n > CNI_CONFIG_BYTES_MAX)
            return -E2BIG;
    }
    return 0;
}

static int run(const char *command)
{
    const struct cni_environment e = {command, getenv("CNI_NETNS"), getenv("CNI_ARGS")};
    AUTO_DONE(buf) struct buf input = {0}, output = {0};
    int r = streq(command, "VERSION") ? 0 : read_input(&input);
    if (r < 0)
        return program_fail(EXIT_FAILED, NULL, "standard input cannot be read: %s", strerror(-r));
    int code = cni_plugin_run(&e, buf_str(&input), &output);
    if (output.n)
        (void)fwrite(output.p, 1, output.n, stdout);
    return code;
}

int main(int argc, char **argv)
{
    struct arg args[] = {{.name = NULL}};
    const struct program p = {
        .name = "fairlead-cni",
        .summary =
            "leads the traffic of the mesh's pods to their proxies, for the container runtime",
        .usage = "",
        .examples = "  CNI_COMMAND=VERSION fairlead-cni\n",
        .args = args};
    int code = program_start(&p, argc, argv, NULL, NULL);
    const char *command = getenv("CNI_COMMAND");
    if (code >= 0)
        return code;
    if (!command)
        return program_fail(EXIT_USAGE_ERROR,
                            "fairlead-cni-node puts it where the runtime finds it",
                            "this is a plugin of a container runtime: CNI_COMMAND is not set");
    return run(command);
}
