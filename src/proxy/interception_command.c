#include "proxy/interception_command.h"

#include <errno.h>

#include "base/program.h"
#include "intercept/interception_apply.h"
#include "intercept/interception_flags.h"
#include "net/resolv_conf.h"

enum { EXIT_NOT_INTERCEPTED = 126 }; /* as istio-validation's, by which others know it */

/* The pod's name servers, which are the proxy's, too. */
static void add_name_servers(struct interception *i)
{
    struct resolv_conf conf;
    resolv_conf_read("/etc/resolv.conf", &conf);
    for (size_t k = 0; k < conf.n_servers; k++)
        vec_push(&i->dns.v,
                 ((struct prefix){conf.servers[k], (uint8_t)(8 * ip_bytes(&conf.servers[k]))}));
    resolv_conf_done(&conf);
    i->dns_port = INTERCEPTION_DNS_PORT;
}

static int check(const struct interception *i)
{
    struct err err = {0};
    int r = interception_try(i, &err);
    if (r < 0)
        return program_fail(r == -ENOENT ? EXIT_NOT_INTERCEPTED : EXIT_FAILED,
                            "see that fairlead-cni is ready on this node, and start the pod anew",
                            "%s", err_text(&err));
    return EXIT_OK;
}

static int apply(const struct interception_flags *f, const struct interception *i)
{
    struct err err = {0};
    int r =
        f->remove ? interception_take_away(f->ipv6, &err) : interception_apply(i, f->ipv6, &err);
    if (r == -EPERM)
        return program_fail(
            EXIT_FAILED, "give the container the capability NET_ADMIN, in the pod's own network",
            "may not change the rules of this network namespace: %s", err_text(&err));
    if (r < 0)
        return program_fail(EXIT_FAILED, NULL, "the rules cannot be made: %s", err_text(&err));
    return EXIT_OK;
}

int proxy_interception_command(int argc, char **argv)
{
    struct interception_flags f;
    struct arg args[INTERCEPTION_FLAGS];
    const struct program p = {
        "fairlead-proxy interception",
        "leads what this network namespace sends and is sent through the proxy in it",
        "[flags]",
        "  fairlead-proxy interception\n"
        "  fairlead-proxy interception --exclude-inbound-ports 9100 --exclude-outbound-ports 3306\n"
        "  fairlead-proxy interception --remove\n",
        args,
        false};
    AUTO_DONE(arg_list) struct arg_list rest = {0};
    struct interception i = {0};
    struct err err = {0};
    interception_flags_init(&f, args);
    int code = program_start(&p, argc, argv, &rest, NULL);
    if (code >= 0)
        return code;
    if (rest.n)
        return program_fail(EXIT_USAGE_ERROR, "fairlead-proxy interception --help",
                            "'%s' is not expected", rest.v[0]);
    if (interception_of_flags(&f, &i, &err) < 0)
        code = program_fail(EXIT_USAGE_ERROR, NULL, "%s", err_text(&err));
    if (f.dns)
        add_name_servers(&i);
    if (code < 0)
        code = f.check ? check(&i) : apply(&f, &i);
    interception_done(&i);
    return code;
}
