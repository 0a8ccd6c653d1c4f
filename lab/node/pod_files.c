/* The files a pod gets from its node: /etc/hosts, /etc/hostname, /etc/resolv.conf, the termination
 * message file, and its volumes. Written below the pod's directory; containers see them through
 * bind mounts. */
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/files.h"
#include "lab/node/node_priv.h"

enum { HOSTNAME_MAX = 64 }; /* the kernel's */

const char *pod_hostname(const struct pod *p)
{
    const char *hostname = json_at_str(p->object, "spec.hostname");
    return p->host_network ? p->node->options->name : str_empty(hostname) ? p->name : hostname;
}

/* The name within its headless Service's domain; NULL without a subdomain. Owned. */
static char *fqdn(const struct pod *p)
{
    const char *subdomain = json_at_str(p->object, "spec.subdomain");
    return str_empty(subdomain) || p->host_network
               ? NULL
               : xasprintf("%.63s.%s.%s.svc.%s", pod_hostname(p), subdomain, p->ns,
                           p->node->options->cluster_domain);
}

char *pod_kernel_hostname(const struct pod *p)
{
    AUTO_CHARS char *whole = fqdn(p);
    if (whole && json_at_bool(p->object, "spec.setHostnameAsFQDN", false) &&
        strlen(whole) <= HOSTNAME_MAX)
        return TAKE(whole);
    return xasprintf("%.63s", pod_hostname(p));
}

static void add_hosts(struct pod *p, struct buf *b)
{
    const char *host = pod_hostname(p);
    AUTO_CHARS char *whole = fqdn(p);
    const struct ip *ips[] = {&p->net.v4, &p->net.v6};
    char text[IP_TEXT_BYTES];
    json_t *alias, *name;
    size_t i, k;
    buf_add_cstr(b, "# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n::1\tlocalhost "
                    "ip6-localhost ip6-loopback\n");
    for (i = 0; i < ARRAY_LEN(ips); i++) {
        if (!ips[i]->family)
            continue;
        buf_addf(b, "%s\t", ip_format(ips[i], text));
        if (whole)
            buf_addf(b, "%s\t", whole);
        buf_addf(b, "%.63s\n", host);
    }
    if (json_array_size(json_at(p->object, "spec.hostAliases")))
        buf_add_cstr(b, "\n# Entries added by HostAliases.\n");
    json_array_foreach(json_at(p->object, "spec.hostAliases"), i, alias)
    {
        buf_addf(b, "%s", json_key_str(alias, "ip") ? json_key_str(alias, "ip") : "#");
        json_array_foreach(json_at(alias, "hostnames"), k, name)
            buf_addf(b, "\t%s", json_string_value(name));
        buf_add_char(b, '\n');
    }
}

static void add_words(struct buf *b, const char *keyword, const char *own, const json_t *list)
{
    json_t *item;
    size_t i;
    if (!own && !json_array_size(list))
        return;
    buf_addf(b, "%s%s%s", keyword, own ? " " : "", own ? own : "");
    json_array_foreach((json_t *)(uintptr_t)list, i, item) if (json_string_value(item))
        buf_addf(b, " %s", json_string_value(item));
    buf_add_char(b, '\n');
}

/* One line; an option of the pod replaces the default of the same name. */
static void add_options(struct buf *b, bool cluster, const json_t *options)
{
    json_t *option;
    size_t i;
    bool ndots = cluster;
    json_array_foreach((json_t *)(uintptr_t)options, i, option) ndots =
        ndots && !streq(json_key_str(option, "name"), "ndots");
    if (!ndots && !json_array_size(options))
        return;
    buf_addf(b, "options%s", ndots ? " ndots:5" : "");
    json_array_foreach((json_t *)(uintptr_t)options, i, option)
    {
        const char *name = json_key_str(option, "name"), *value = json_key_str(option, "value");
        if (name)
            buf_addf(b, " %s%s%s", name, value ? ":" : "", value ? value : "");
    }
    buf_add_char(b, '\n');
}

/* dnsPolicy Default: what the machine itself uses. */
static void add_machine_resolv(struct buf *b)
{
    char line[512];
    FILE *f = fopen("/etc/resolv.conf", "re");
    while (f && fgets(line, sizeof(line), f))
        if (line[0] != '#')
            buf_add_cstr(b, line);
    if (f)
        fclose(f);
}

static void add_resolv(struct pod *p, struct buf *b)
{
    const struct node_options *o = p->node->options;
    const char *policy = json_at_str(p->object, "spec.dnsPolicy");
    const json_t *config = json_at(p->object, "spec.dnsConfig");
    bool none = streq(policy, "None"), machine = streq(policy, "Default");
    bool cluster = !none && !machine && o->cluster_dns &&
                   (!p->host_network || streq(policy, "ClusterFirstWithHostNet"));
    AUTO_CHARS char *search = xasprintf("%s.svc.%s svc.%s %s", p->ns, o->cluster_domain,
                                        o->cluster_domain, o->cluster_domain);
    json_t *server;
    size_t i;
    if (!none && !cluster)
        add_machine_resolv(b);
    if (cluster)
        buf_addf(b, "nameserver %s\n", o->cluster_dns);
    json_array_foreach(json_at(config, "nameservers"), i, server)
        buf_addf(b, "nameserver %s\n", json_string_value(server));
    add_words(b, "search", cluster ? search : NULL, json_at(config, "searches"));
    add_options(b, cluster, json_at(config, "options"));
}

static json_t *find_config(const char *kind, const char *name, void *user)
{
    return pod_inputs_config(((struct pod *)user)->inputs, kind, name);
}

static const char *find_token(const char *audience, void *user)
{
    return pod_inputs_token(((struct pod *)user)->inputs, audience);
}

static int make_volumes(struct pod *p, bool written_only, struct err *reterr)
{
    char dir[512];
    const struct volume_inputs in = {find_config, find_token, p};
    json_t *volume;
    size_t i;
    pod_dir_file(p, dir, sizeof(dir), "volumes");
    json_array_foreach(json_at(p->object, "spec.volumes"), i, volume)
    {
        if (written_only && !volume_is_written(volume))
            continue;
        int r = volume_make(volume, p->object, dir, &in, reterr);
        if (r < 0) {
            AUTO_CHARS char *prefix = xasprintf("MountVolume.SetUp failed for volume \"%s\" ",
                                                json_key_str(volume, "name"));
            err_prefix(reterr, NULL, prefix);
            return r;
        }
    }
    return 0;
}

int pod_files_make(struct pod *p, struct err *reterr)
{
    static const char *const dirs[] = {"etc", "volumes", "logs", "scratch", "messages"};
    char path[512];
    AUTO_DONE(buf) struct buf hosts = {0}, resolv = {0}, hostname = {0};
    for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
        int r = directory_make(pod_dir_file(p, path, sizeof(path), "%s", dirs[i]), 0755, reterr);
        if (r < 0)
            return r;
    }
    add_hosts(p, &hosts);
    add_resolv(p, &resolv);
    AUTO_CHARS char *kernel_name = pod_kernel_hostname(p);
    buf_addf(&hostname, "%s\n", kernel_name);
    int r = file_replace(pod_dir_file(p, path, sizeof(path), "etc/hosts"), buf_str(&hosts), 0644,
                         reterr);
    if (r == 0)
        r = file_replace(pod_dir_file(p, path, sizeof(path), "etc/hostname"), buf_str(&hostname),
                         0644, reterr);
    if (r == 0)
        r = file_replace(pod_dir_file(p, path, sizeof(path), "etc/resolv.conf"), buf_str(&resolv),
                         0644, reterr);
    return r < 0 ? r : make_volumes(p, false, reterr);
}

int pod_files_update(struct pod *p, struct err *reterr)
{
    return make_volumes(p, true, reterr);
}

static void add_mount(container_mounts *list, char *source, const char *target)
{
    struct container_mount m = {.source = source, .target = xstrdup(target)};
    vec_push(list, m);
}

int pod_container_mounts(struct pod_container *c, const struct env *e, container_mounts *ret,
                         struct err *reterr)
{
    static const char *const files[] = {"hosts", "hostname", "resolv.conf"};
    struct pod *p = c->pod;
    char path[512];
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        AUTO_CHARS char *target = xasprintf("/etc/%s", files[i]);
        add_mount(ret, xstrdup(pod_dir_file(p, path, sizeof(path), "etc/%s", files[i])), target);
    }
    const char *message = json_at_str(c->spec, "terminationMessagePath");
    pod_dir_file(p, path, sizeof(path), "messages/%s", c->name);
    int r = file_replace(path, STR(""), 0666, reterr);
    if (r < 0)
        return r;
    add_mount(ret, xstrdup(path), message && message[0] == '/' ? message : "/dev/termination-log");
    pod_dir_file(p, path, sizeof(path), "volumes");
    return volume_mounts(c->spec, p->object, path, e, ret, reterr);
}
